"""English."""

from voicebridge.conversation.endings.table import Endings, lines, split

ENGLISH = Endings(
    open=split(
        """
        a an the every my your our his her their its this these those another some any and or but so because if when
        while that which who whether than as unless until since although of for from with without to at by in into
        on about between towards during is are was were am be been do does did have has had can could will would
        shall should may might must i we they he she i'd i'm we'd we're you're very not um uh er erm uhm like
        """
    ),
    open_phrases=lines(
        """
        i want, i need, we need, i'd like, i would like, i wanted, could you, can you, would you, do you, did you,
        are you, if you, when you, that you, because you, have you, how much, how many, what kind, what sort,
        what about, how about, such as, as well as, a couple, a lot, a bit, kind of, sort of, looking for, my name,
        my number, is there, are there, there is, there are, is it, and it, if it, let me, tell me, give me, to get,
        to have, i think, you know, i mean
        """
    ),
    may_close=split(
        """
        is are was do does did have can could will would should at by in on to for with about like this that these
        those i some any not very since
        """
    )
    | lines(
        """
        do you, can you, could you, would you, have you, are you, is there, are there, is it, how much, how many,
        a lot, a bit, what kind, let me, tell me, looking for, i want, i need, i think, you know, i mean, a couple,
        my name, my number
        """
    ),
    askers=split(
        """
        what when where who whose which why how what's when's where's who's how's is are was were do does did can
        could will would shall should may have has am isn't aren't don't doesn't didn't can't couldn't won't
        wouldn't haven't
        """
    ),
    whole=lines(
        """
        that's all, that is all, that'll be all, that will be all, that's it, that would be all, nothing else, bye,
        goodbye, good bye, bye-bye, bye bye, that's everything
        """
    ),
    yes=lines(
        """
        yes, yeah, yep, yup, yes please, yes thank you, yes thanks, correct, that's correct, that's right, right,
        exactly, sure, of course, okay, ok, yes it is, yes that's right, yes that's correct, please do, go ahead,
        yes go ahead
        """
    ),
    no=lines(
        """
        no, nope, no thanks, no thank you, not really, no it isn't, no that's wrong, no that's not right, no i don't
        """
    ),
)
