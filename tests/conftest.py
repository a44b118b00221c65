"""What holds for every test."""

import signal

from hypothesis import HealthCheck, settings

# How fast an example is says more of who else uses the machine than of the code: no test is about that.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")

# Who runs the tests in the background of a shell ignores Ctrl-C, and the programs they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
