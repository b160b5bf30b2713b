from metering.models.facts import (
    EventVoid,
    HourlyLevel,
    RequestRecord,
    RequestRollup,
    UsageEvent,
    UsageRollup,
)
from metering.models.spool import QuarantinedLine, SpoolCheckpoint
from metering.models.usage import (
    REQUESTS,
    Allotment,
    Allowance,
    FormerTerms,
    Meter,
    PricingTerms,
    Quota,
    QuotaAlert,
    RatedLine,
    UsagePeriod,
)

__all__ = [
    "REQUESTS",
    "Allotment",
    "Allowance",
    "EventVoid",
    "FormerTerms",
    "HourlyLevel",
    "Meter",
    "PricingTerms",
    "QuarantinedLine",
    "Quota",
    "QuotaAlert",
    "RatedLine",
    "RequestRecord",
    "RequestRollup",
    "SpoolCheckpoint",
    "UsageEvent",
    "UsagePeriod",
    "UsageRollup",
]
