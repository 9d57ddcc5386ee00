"""Italian."""

from voicebridge.conversation.endings.table import Endings, lines, split

ITALIAN = Endings(
    open=split(
        """
        il lo la i gli le l un uno una mio mia miei mie tuo tua suo sua suoi sue nostro nostra vostro vostra vostri
        questo questa questi queste quel quella quei ogni qualche alcuni alcune e ed o oppure ma perché se quando
        che come mentre anche quindi però cioè di del dello della dei degli delle d a al allo alla ai agli alle da
        dal dalla dai dalle in nel nella nei nelle con sul sulla per tra fra senza verso su è sono ho hai abbiamo
        molto troppo mi si ci vi io eh ehm uhm mah
        """
    ),
    open_phrases=lines(
        """
        vorrei, voglio, mi piacerebbe, avrei bisogno, ho bisogno, cerco, sto cercando, può, potrebbe, mi può, avete,
        c'è, ci sono, mi chiamo, il mio nome, il mio nome è, il mio numero è, per esempio, a partire,
        prima di, dopo di, vicino a
        """
    ),
    may_close=split(
        """
        questo questa questi queste quel quella mio mia suo sua molto troppo è sono perché su che come anche una uno
        """
    )
    | lines(
        """
        avete, può, potrebbe, c'è, ci sono, voglio, mi può, vorrei, mi piacerebbe
        """
    ),
    askers=split(
        """
        cosa che quando dove chi quale quali qual perché come quanto quanta quanti quante com'è dov'è cos'è avete
        può posso possiamo potrebbe è c'è siete fate sono
        """
    ),
    whole=lines(
        """
        è tutto, questo è tutto, nient'altro, basta così, arrivederci, arrivederla, a presto, ciao, buona giornata
        """
    ),
    yes=lines(
        """
        sì, sì grazie, sì per favore, certo, certamente, esatto, esattamente, giusto, va bene, d'accordo, sì esatto
        """
    ),
    no=lines("no, no grazie, per niente, non proprio, no non è così"),
)
