"""Swedish. Its short prepositions end verbs as well (`ringa upp`, `hänga på`): those are left out."""

from voicebridge.conversation.endings.table import Endings, lines, split

SWEDISH = Endings(
    open=split(
        """
        en ett den det de min mitt mina din ditt dina sin sitt sina vår vårt våra er ert era hans hennes deras denna
        detta dessa varje någon något några ingen inget och eller men för att om när medan som eftersom fast så än
        av från hos utan mellan mot genom vid till med under är var har hade kan skulle vill ska måste får jag vi
        mycket väldigt eh öh ehm
        """
    ),
    open_phrases=lines(
        """
        jag vill, jag skulle vilja, skulle vilja, jag behöver, jag söker, jag letar efter, kan du, kan ni, har ni,
        har du, finns det, hur mycket, hur många, mitt namn, mitt namn är, jag heter, mitt nummer är, till exempel,
        på en, i en, och sen, undrar om
        """
    ),
    may_close=split(
        """
        det den de är var har kan vill ska får mycket med till om mot vid från er min mitt någon något några så
        detta för under
        """
    )
    | lines(
        """
        kan du, kan ni, har ni, har du, finns det, hur mycket, hur många, jag vill, jag behöver, skulle vilja
        """
    ),
    askers=split(
        """
        vad när var vem vilken vilket vilka varför hur vart är har kan finns får ska skulle vill måste går gör
        """
    ),
    whole=lines("det var allt, det är allt, inget annat, inget mer, hej då, hejdå, adjö, vi hörs"),
    yes=lines(
        """
        ja, ja tack, jo, javisst, visst, precis, det stämmer, ja det stämmer, just det, absolut, okej, gärna
        """
    ),
    no=lines("nej, nej tack, nej det stämmer inte, inte riktigt, nä"),
)
