"""Danish. As in Swedish, prepositions that end verbs are left out."""

from voicebridge.conversation.endings.table import Endings, lines, split

DANISH = Endings(
    open=split(
        """
        en et den det de min mit mine din dit dine sin sit sine vores jeres hans hendes deres denne dette disse hver
        nogen noget nogle ingen intet og eller men fordi at om når mens som hvis så end af fra hos uden mellem mod
        gennem ved til med under for er var har havde kan skulle vil skal må jeg vi meget eh øh øhm
        """
    ),
    open_phrases=lines(
        """
        jeg vil, jeg vil gerne, vil gerne, jeg skal bruge, jeg søger, jeg leder efter, jeg har brug for, kan du,
        kan i, har i, har du, er der, findes der, hvor meget, hvor mange, mit navn, mit navn er, jeg hedder,
        mit nummer er, for eksempel, på en, i en, og så
        """
    ),
    may_close=split(
        """
        det den de er var har kan vil skal må meget med til om mod ved fra min mit nogen noget nogle så dette for
        under deres
        """
    )
    | lines(
        """
        kan du, kan i, har i, har du, er der, hvor meget, hvor mange, vil gerne, jeg vil gerne, jeg vil
        """
    ),
    askers=split(
        """
        hvad hvornår hvor hvem hvilken hvilket hvilke hvorfor hvordan er har kan findes må skal vil går gør
        """
    ),
    whole=lines("det var alt, det er alt, ikke andet, ikke mere, farvel, hej hej, vi høres ved"),
    yes=lines(
        """
        ja, ja tak, jo, jo tak, præcis, det stemmer, ja det stemmer, netop, selvfølgelig, okay, gerne
        """
    ),
    no=lines("nej, nej tak, nej det stemmer ikke, ikke helt"),
)
