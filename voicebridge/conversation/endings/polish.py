"""Polish."""

from voicebridge.conversation.endings.table import Endings, lines, split

POLISH = Endings(
    open=split(
        """
        mój moja moje mojego moją mojej twój pański pana pani nasz nasza nasze wasz swój swoje ten ta te tego tej
        tym każdy każda i oraz lub albo ale bo ponieważ jeśli jeżeli gdy kiedy że żeby aby czy który która które niż
        więc w we z ze do od dla na po przy przez bez u o nad pod przed między za około jest są był była będzie mam
        jestem bardzo nie yyy eee hmm no
        """
    ),
    open_phrases=lines(
        """
        ja chcę, chcę, chciałbym, chciałabym, chciałem, chciałam, potrzebuję, szukam, proszę o, czy mogę, czy można,
        czy jest, czy są, czy ma, czy macie, nazywam się, moje imię, mój numer, mój numer to,
        na przykład, to znaczy, chodzi o
        """
    ),
    may_close=split("jest są był była będzie mam pana pani tego nie moje moja swoje ta te no za po")
    | lines(
        """
        chcę, potrzebuję, czy mogę, czy można, czy jest, czy są, czy macie, chciałbym, chciałabym
        """
    ),
    askers=split(
        """
        co kiedy gdzie kto kogo komu jaki jaka jakie który która które dlaczego jak ile czy czyj skąd dokąd o do od
        w
        """
    ),
    whole=lines(
        """
        to wszystko, to już wszystko, nic więcej, to tyle, do widzenia, do usłyszenia, na razie, cześć
        """
    ),
    yes=lines(
        """
        tak, tak proszę, tak poproszę, oczywiście, zgadza się, dokładnie, tak zgadza się, dobrze, jasne, owszem
        """
    ),
    no=lines("nie, nie dziękuję, nie trzeba, niezupełnie, nie zgadza się"),
)
