"""Spanish. `sí` and `si`, `qué` and `que`: recognisers write the accents, and they tell the words apart."""

from voicebridge.conversation.endings.table import Endings, lines, split

SPANISH = Endings(
    open=split(
        """
        el la los las un una unos unas mi mis tu tus su sus nuestro nuestra nuestros nuestras este esta estos estas
        ese esa esos aquel aquella cada algún alguna ningún ninguna y e o u pero porque si cuando que como aunque
        pues donde mientras de del a al en con sin por para entre desde hasta hacia sobre según contra es son está
        están soy estoy era muy tan más me se le lo nos eh em ehm
        """
    ),
    open_phrases=lines(
        """
        yo quiero, quiero, quisiera, me gustaría, necesito, estoy buscando, busco, tengo que, me puede, podría,
        puede usted, tiene usted, hay algún, hay alguna, mi nombre, mi nombre es, me llamo, por ejemplo, es decir,
        o sea, a partir, acerca de, antes de, después de, cerca de, a ver
        """
    ),
    may_close=split(
        """
        es está están estoy son esta este esa ese estos estas esos más lo como sobre contra la los las
        """
    )
    | lines(
        """
        quiero, necesito, puede usted, tiene usted, me puede, podría, me gustaría, quisiera, o sea
        """
    ),
    askers=split(
        """
        qué cuándo dónde quién quiénes cuál cuáles cómo cuánto cuánta cuántos cuántas por adónde tiene tienen puede
        pueden puedo hay es está están podría podrían hacen abren cierran
        """
    ),
    whole=lines(
        """
        eso es todo, es todo, nada más, eso sería todo, adiós, hasta luego, hasta pronto, chao
        """
    ),
    yes=lines(
        """
        sí, sí por favor, sí gracias, claro, claro que sí, exacto, exactamente, correcto, así es, de acuerdo, vale,
        eso es
        """
    ),
    no=lines("no, no gracias, para nada, no exactamente, no es así"),
)
