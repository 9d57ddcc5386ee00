"""Dutch. Like German: clauses end in verbs and in parts of verbs, so prepositions that are both are left out."""

from voicebridge.conversation.endings.table import Endings, lines, split

DUTCH = Endings(
    open=split(
        """
        de het een geen mijn jouw uw onze ons hun zijn deze dit die elke ieder iedere welke en of maar want omdat
        als dat dus terwijl hoewel zodat tenzij voordat nadat van voor bij zonder tussen tegen wegens vanaf sinds
        tot naar per tijdens heel erg ik wij eh uh ehm uhm
        """
    ),
    open_phrases=lines(
        """
        ik wil, ik wil graag, ik zou, ik zou graag, ik heb, ik ben, we willen, kunt u, kun je, heeft u, hebt u,
        heb je, is er, zijn er, hoeveel, mijn naam, mijn naam is, mijn nummer is, en dan, zoals, op de, in de,
        met de, om te, te maken, ik zoek, ik wou, of u, dat u, als u, als ik
        """
    ),
    may_close=split("het die dit deze dat zijn ons voor van bij tegen naar geen ik tot of")
    | lines(
        """
        kunt u, heeft u, hebt u, is er, zijn er, hoeveel, ik wil, ik heb, ik wil graag, te maken
        """
    ),
    askers=split(
        """
        wat wanneer waar wie waarom hoe hoeveel welke welk waarvoor waarmee hoelang is zijn was heeft hebt hebben
        heb kan kunt kunnen kun mag mogen moet moeten zal zou zijn gaat doen
        """
    ),
    whole=lines("dat is alles, dat was het, dat was alles, verder niets, tot ziens, dag hoor, doei"),
    yes=lines(
        """
        ja, ja graag, ja hoor, jazeker, klopt, dat klopt, ja dat klopt, inderdaad, precies, juist, goed, oké
        """
    ),
    no=lines("nee, nee dank u, nee bedankt, nee dank je, nee hoor, niet echt"),
)
