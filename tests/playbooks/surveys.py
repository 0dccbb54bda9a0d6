# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX refuses in a survey, in words of our own: JobTemplateSurveySpec of awx/api/views/__init__.py in ansible/awx, 24.6.1. Pure."""

from __future__ import annotations

TEXTS = ("text", "textarea", "password")
CHOICES = ("multiplechoice", "multiselect")
TYPES = {**dict.fromkeys((*TEXTS, *CHOICES), str), "integer": int, "float": (int, float)}
NEEDED = ("question_name", "variable", "type", "required")


def wrong_in_survey(survey):
    """Return what AWX would refuse in a survey."""
    found = [f"{key} is missing" for key in ("name", "description", "spec") if key not in survey]
    if not survey.get("spec"):
        return [*found, "there is no question"]
    variables = [question.get("variable") for question in survey["spec"]]
    found += [
        f"{variable}: more than one question" for variable in sorted({one for one in variables if variables.count(one) > 1})
    ]
    for question in survey["spec"]:
        found += [f"{question.get('variable')}: {text}" for text in wrong_in_question(question)]
    return found


def wrong_in_question(question):
    """Return what AWX would refuse in a question."""
    found = [f"{key} is missing" for key in NEEDED if key not in question]
    kind, default = question.get("type"), question.get("default")
    if kind not in TYPES:
        return [*found, f"type {kind} is unknown"]
    if not isinstance(question.get("required"), bool):
        found.append("required is no boolean")
    if unusual := [
        key
        for key in ("min", "max")
        if key in question and (isinstance(question[key], bool) or not isinstance(question[key], int))
    ]:
        return [*found, *(f"{key} is no integer" for key in unusual)]
    if default not in (None, ""):
        if isinstance(default, bool) or not isinstance(default, TYPES[kind]):
            found.append(f"the default {default!r} is no {kind}")
        elif kind in CHOICES:
            choices = question.get("choices", [])
            found += [f"{one} is none of the choices" for one in str(default).splitlines() if one not in choices]
        elif kind in TEXTS and not question.get("min", 0) <= len(default) <= question.get("max", len(default)):
            found.append("the default's length")
    if kind in CHOICES and not question.get("choices"):
        found.append("there are no choices")
    if kind == "password" and default == "$encrypted$":
        found.append("$encrypted$ is reserved")
    return found
