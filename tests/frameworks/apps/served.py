"""What the servers are told to serve: they import `app`."""

import os

from frameworks.apps import dispatcher
from frameworks.apps.common import jwt_verifier

app = dispatcher.build(jwt_verifier(os.environ["FRAMEWORKS_PUBLIC_KEY"]), os.environ["FRAMEWORKS_BACKEND"])
