"""Portuguese, of both sides of the ocean."""

from voicebridge.conversation.endings.table import Endings, lines, split

PORTUGUESE = Endings(
    open=split(
        """
        o a os as um uma uns umas meu minha meus minhas teu tua seu sua seus suas nosso nossa nossos nossas este
        esta estes estas esse essa esses essas aquele aquela cada algum alguma nenhum nenhuma e ou mas porque se
        quando que como embora pois enquanto de do da dos das d em no na nos nas num numa com sem por pelo pela para
        pra pro ao à aos às entre desde até sobre contra é são está estão sou estou muito tão me lhe eu nós eh hum
        ahn
        """
    ),
    open_phrases=lines(
        """
        eu quero, quero, queria, eu queria, gostaria, gostaria de, eu gostaria, preciso, eu preciso,
        estou procurando, procuro, pode me, poderia, você tem, vocês têm, tem algum, tem alguma, há algum, meu nome,
        o meu nome é, meu nome é, eu me chamo, chamo-me, por exemplo, ou seja, a partir, antes de, depois de,
        perto de
        """
    ),
    may_close=split(
        """
        é está estão estou são esta este essa esse muito sobre contra meu minha seu sua nós eu como às
        """
    )
    | lines(
        """
        quero, queria, preciso, você tem, vocês têm, poderia, gostaria, eu gostaria, eu quero, ou seja
        """
    ),
    askers=split(
        """
        o quando onde quem qual quais como quanto quanta quantos quantas porque porquê que por tem têm pode podem
        posso há é está estão poderia vocês você fazem abrem fecham
        """
    ),
    whole=lines(
        """
        é tudo, é só isso, só isso, mais nada, era só isso, adeus, tchau, até logo, até já, até mais
        """
    ),
    yes=lines(
        """
        sim, sim por favor, sim obrigado, sim obrigada, claro, exato, exatamente, correto, certo, isso, isso mesmo,
        está bem
        """
    ),
    no=lines("não, não obrigado, não obrigada, de jeito nenhum, não é isso"),
)
