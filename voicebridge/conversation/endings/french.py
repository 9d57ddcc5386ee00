"""French. An elided word stands before an apostrophe (`l'`, `d'une`): the part behind it is looked up too."""

from voicebridge.conversation.endings.table import Endings, lines, split

FRENCH = Endings(
    open=split(
        """
        le la les l un une des du de d au aux mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet
        cette ces chaque quelques plusieurs aucun aucune et ou mais donc car parce que qu si quand lorsque puisque
        comme qui dont à en dans par pour sans avec chez entre vers depuis jusqu jusque sous sur contre je j il elle
        nous on n ne m me se s c très trop euh heu ben est suis sont ai avez
        """
    ),
    open_phrases=lines(
        """
        je voudrais, je veux, j'aimerais, je cherche, il me faut, j'ai besoin, j'ai, est-ce que, est-ce qu,
        pouvez-vous, pourriez-vous, avez-vous, vous avez, y a-t-il, il y a, combien de, mon nom est, je m'appelle,
        par exemple, c'est pour, et puis, à partir, près de, à cause, afin de, parce que, je vous, vous pouvez,
        qu'est-ce que, quel est, quelle est
        """
    ),
    may_close=split(
        """
        la les en avec sur contre depuis nous elle il on trop leur est suis sont avez pour sans vers comme un une
        """
    )
    | lines(
        """
        pouvez-vous, pourriez-vous, avez-vous, vous avez, il y a, y a-t-il, je veux, vous pouvez
        """
    ),
    askers=split(
        """
        à quand où qui que quoi quel quelle quels quelles pourquoi comment combien est-ce qu'est-ce qu'est-ce
        avez-vous pouvez-vous pourriez-vous peut-on puis-je êtes-vous faites-vous y
        """
    ),
    whole=lines(
        """
        c'est tout, ce sera tout, rien d'autre, c'est bon merci, au revoir, bonne journée, bonne soirée, à bientôt
        """
    ),
    yes=lines(
        """
        oui, oui merci, oui s'il vous plaît, ouais, exactement, c'est ça, c'est bien ça, tout à fait, d'accord,
        oui c'est ça
        """
    ),
    no=lines("non, non merci, non pas du tout, pas vraiment, non ce n'est pas ça"),
)
