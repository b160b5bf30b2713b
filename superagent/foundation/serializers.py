"""What all serializers share: partial answers by `?fields=`."""

from typing import Any

from rest_framework import serializers

from superagent.foundation.problems import FieldError, Invalid


class PartialAnswer(serializers.Serializer):
    """Mixin: `?fields=id,name` keeps only these fields of each object; an unknown name is refused by name."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)
        wanted = self._wanted()
        if wanted is None:
            return answer
        return {name: value for name, value in answer.items() if name in wanted}

    def _wanted(self) -> set[str] | None:
        request = self.context.get("request")
        if request is None or request.method != "GET" or "fields" not in request.GET:
            return None
        wanted = {name.strip() for name in request.GET["fields"].split(",") if name.strip()}
        unknown = wanted - set(self.fields)
        if unknown:
            names = ", ".join(sorted(self.fields))
            raise Invalid(
                f"fields: unknown {', '.join(sorted(unknown))}; choose from {names}.",
                errors=[FieldError("/fields", "unknown_field", f"Choose from {names}.")],
            )
        return wanted
