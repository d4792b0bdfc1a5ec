"""The questions that the process which holds the HSM answers, each with what it does."""

from collections.abc import Callable, Mapping, Sequence

from pkcs11 import PKCS11Error

from keyrack.domain.secret import wipe
from keyrack.embedded.root_keys.token_ciphers import DoesNotOpen
from keyrack.embedded.root_keys.token_frames import Answer, Asked, BrokenFrame, Channel, Field, Frame, Told
from keyrack.embedded.root_keys.token_session import Name, TokenSession, said

Reply = tuple[Answer, Sequence[Field]]
_DONE: Reply = (Answer.DONE, ())


class Desk:
    """Answers the frames of one channel with one session."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._session: TokenSession | None = None

    def begin(self, frame: Frame) -> None:
        """The first question: log in."""

        def begun() -> Reply:
            library, token, pin_file, mechanism = (frame.text(index) for index in range(4))
            self._session = TokenSession.begin(library, token, pin_file, mechanism)
            return _DONE

        self._reply(frame, begun)

    def answer(self) -> bool:
        """Answer one question; ``False`` after the last."""
        session = self._session
        with self._channel.receive() as frame:
            if session is None:
                raise BrokenFrame("there is no session to ask")
            if frame.word == Asked.END:
                session.end()
                return False
            act = ACTS[Asked(frame.word)]
            self._reply(frame, lambda: act(session, frame))
        return True

    def _reply(self, frame: Frame, act: Callable[[], Reply]) -> None:
        try:
            word, fields = act()
        except Told as told:
            word, fields = told.answer, (str(told).encode(),)
        except (PKCS11Error, DoesNotOpen) as error:
            word, fields = Answer.LOST, (said(error).encode(),)
        try:
            self._channel.send(frame.number, word, fields)
        finally:
            for field in fields:
                if isinstance(field, bytearray):
                    wipe(field)


def _probe(session: TokenSession, frame: Frame) -> Reply:
    session.probe()
    return _DONE


def _generate(session: TokenSession, frame: Frame) -> Reply:
    session.generate(_name(frame))
    return _DONE


def _take(session: TokenSession, frame: Frame) -> Reply:
    return (Answer.DONE if session.take(_name(frame), frame.fields[2]) else Answer.THERE), ()


def _encipher(session: TokenSession, frame: Frame) -> Reply:
    return Answer.DONE, session.encipher(_name(frame), bytes(frame.fields[2]), frame.fields[3])


def _decipher(session: TokenSession, frame: Frame) -> Reply:
    context, nonce, ciphertext = map(bytes, frame.fields[2:5])
    return Answer.DONE, (session.decipher(_name(frame), context, nonce, ciphertext),)


def _destroy(session: TokenSession, frame: Frame) -> Reply:
    session.destroy(_name(frame))
    return _DONE


def _name(frame: Frame) -> Name:
    return Name(frame.text(0), bytes(frame.fields[1]))


ACTS: Mapping[Asked, Callable[[TokenSession, Frame], Reply]] = {
    Asked.PROBE: _probe,
    Asked.GENERATE: _generate,
    Asked.TAKE: _take,
    Asked.ENCIPHER: _encipher,
    Asked.DECIPHER: _decipher,
    Asked.DESTROY: _destroy,
}
