"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How fast an example is says more of who else uses the machine than of the code: no test is about that.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")
