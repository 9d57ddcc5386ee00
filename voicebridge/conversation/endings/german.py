"""German. Verbs end its clauses, and `an`, `auf`, `zu` its separable ones: alone they tell nothing."""

from voicebridge.conversation.endings.table import Endings, lines, split

GERMAN = Endings(
    open=split(
        """
        der die das den dem des ein eine einen einem einer eines kein keine keinen mein meine meinen meinem meiner
        dein deine ihre ihren ihrem ihrer unser unsere unseren euer eure seine seinen diese dieser diesen diesem
        dieses jede jeden jeder und oder aber denn weil wenn dass ob sondern obwohl damit sowie falls bevor nachdem
        während von vom für bei beim ohne zum zur zwischen gegen wegen durch über unter ins im am ans bis seit sehr
        ich wir äh ähm öh hm also
        """
    ),
    open_phrases=lines(
        """
        ich möchte, ich würde, ich hätte, ich brauche, ich will, ich wollte, ich habe, ich bin, wir möchten,
        wir brauchen, hätte gern, hätte gerne, würde gern, würde gerne, möchte gern, möchte gerne, können sie,
        könnten sie, haben sie, gibt es, gibt's, wie viel, wie viele, mein name, mein name ist, meine nummer ist,
        und zwar, zum beispiel, ich heiße, um wie viel, so ein, dass sie, ob sie, wenn sie, ob ich, und dann,
        mit dem, mit der, in der, in die, auf der, es geht, geht um
        """
    ),
    may_close=split(
        """
        das die der den ihre unsere diese meine keine ein über unter durch also ich wir seit
        """
    )
    | lines(
        """
        haben sie, können sie, gibt es, wie viel, wie viele, hätte gern, hätte gerne, ich möchte, ich will, ich habe
        """
    ),
    askers=split(
        """
        was wann wo wer wen wem wessen welche welcher welches welchen warum wieso weshalb wie woher wohin womit
        wofür worum ist sind war haben hat habe kann können könnte könnten darf dürfen muss müssen soll sollen gibt
        machen macht geht
        """
    ),
    whole=lines(
        """
        das ist alles, das war's, das wars, das wär's, das wäre alles, das war alles, sonst nichts, auf wiederhören,
        auf wiedersehen, tschüss, tschüs, wiederhören
        """
    ),
    yes=lines(
        """
        ja, ja bitte, ja gern, ja gerne, jawohl, genau, richtig, stimmt, das stimmt, ja genau, ja das stimmt, okay
        """
    ),
    no=lines("nein, nein danke, nee, nö, ne, nein das stimmt nicht, nicht ganz"),
)
