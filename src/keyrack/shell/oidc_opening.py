"""The configured provider of OpenID Connect, made ready to be asked."""

from keyrack.shell.config.oidc import Oidc
from keyrack.shell.config.whole import Config
from keyrack.shell.links import api_name
from keyrack.shell.oidc import Provider
from keyrack.shell.oidc_calls import Calls, ProviderUnavailable


def redirect_of(config: Config) -> str:
    """The URL that the provider sends browsers back to; it has to be registered there."""
    return f"https://{api_name(config)}/api/v1/oidc/callback"


def open_provider(config: Config, table: Oidc) -> Provider:
    """The provider of the configuration; nothing is asked of it yet. Raises :class:`ProviderUnavailable`."""
    try:
        secret = ""
        if table.client_secret_file is not None:
            secret = config.path(table.client_secret_file).read_text(encoding="utf-8").partition("\n")[0].strip()
        calls = Calls(config.path(table.ca_bundle) if table.ca_bundle else None, table.timeout_seconds)
    except (OSError, ValueError) as error:
        raise ProviderUnavailable(
            f"a file of [api.oidc] cannot be used: {error}", hint="correct client_secret_file or ca_bundle"
        ) from error
    return Provider(table, calls, redirect_of(config), secret)
