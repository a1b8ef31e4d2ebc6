"""Whether a credential lasts as long as a job: said before the job starts, not when it fails."""

from __future__ import annotations

from datetime import datetime

from rsdat.errors import CredentialError
from rsdat.storage.credentials import certificates
from rsdat.storage.credentials.credential import Credential
from rsdat.storage.credentials.tokens import moment


def check_lifetime(credential: Credential, until: datetime) -> list[str]:
    """What will have ended before a moment, one sentence each; what cannot be read is said, too.

    Parameters
    ----------
    until
        With a time zone: the end of a job's walltime.
    """
    if credential.token_command or credential.oidc_agent:
        # Asked anew before each end.
        return []
    said = []
    try:
        token = credential.token()
        if token is not None and token.expires is not None and token.expires < until:
            said.append(
                f"the token of {credential.source} ends on {moment(token.expires)}, before the "
                f"job does ({moment(until)}): renew it in its place meanwhile, or make one that "
                "lasts longer"
            )
        proxy = credential.proxy_file and certificates.ends(credential.proxy_file)
        if proxy and proxy < until:
            said.append(
                f"the certificate of {credential.proxy_file} ends on {moment(proxy)}, before the "
                f"job does ({moment(until)})"
            )
    except CredentialError as error:
        said.append(f"{error.message} ({error.hint})" if error.hint else error.message)
    return said
