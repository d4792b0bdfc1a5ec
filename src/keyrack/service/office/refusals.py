"""What an administrator's act is refused with; each text says what happened, why, and what to do instead."""


class Refused(Exception):
    """An administrative act that was not done; nothing has changed."""


class NotThere(Refused):
    """What was named is not there, or not any more."""


class NameTaken(Refused):
    """Another one has the name."""


class CertificateThere(Refused):
    """The instance has this certificate already."""


class CertificateElsewhere(Refused):
    """Another instance has this certificate."""


class LimitReached(Refused):
    """There are as many as there may be."""
