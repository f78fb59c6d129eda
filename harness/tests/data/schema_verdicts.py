# schema_verdicts.py SCHEMA DOCUMENTS - holds documents to a JSON Schema.
#
# Each line of DOCUMENTS is "1 " or "0 ", whether another checker took what follows, and a
# document. Prints the lines on which the two disagree. Exit: 0 they agree, 1 they do not,
# 77 there is no jsonschema to ask.
import json
import sys

try:
    from jsonschema import Draft7Validator
except ImportError:
    sys.exit(77)

with open(sys.argv[1]) as f:
    schema = json.load(f)
Draft7Validator.check_schema(schema)
validator = Draft7Validator(schema)

lines = disagreements = 0
with open(sys.argv[2]) as f:
    for line in f:
        lines += 1
        error = next(validator.iter_errors(json.loads(line[2:])), None)
        if (error is None) == (line[0] == "1"):
            continue
        disagreements += 1
        if disagreements <= 5:
            where = "/".join(str(p) for p in error.absolute_path) if error else ""
            what = error.message[:200] if error else "takes it"
            print(f"line {lines}: the schema: {where} {what}", file=sys.stderr)
print(f"{lines} documents, {disagreements} disagreements")
sys.exit(1 if disagreements or not lines else 0)
