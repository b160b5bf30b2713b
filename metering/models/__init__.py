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
    Quota,
    QuotaAlert,
    RatedLine,
    TermsRecord,
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
    "QuarantinedLine",
    "Quota",
    "QuotaAlert",
    "RatedLine",
    "RequestRecord",
    "RequestRollup",
    "SpoolCheckpoint",
    "TermsRecord",
    "UsageEvent",
    "UsagePeriod",
    "UsageRollup",
]
