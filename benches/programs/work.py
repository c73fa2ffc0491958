# Objects, dictionaries, strings and JSON: a small in-memory index over invented records.
import json
import re


class Record:
    def __init__(self, number):
        self.number = number
        self.name = "record-%d" % (number * 7919 % 100003)
        self.tags = ["tag%d" % (number * step % 97) for step in (3, 5, 7)]
        self.next = None


records = [Record(number) for number in range(20000)]
by_name, by_tag = {}, {}
for record in records:
    by_name.setdefault(record.name, []).append(record)
    for tag in record.tags:
        by_tag.setdefault(tag, []).append(record.number)
for one, other in zip(records, records[1:]):
    one.next = other

text = json.dumps([{"name": r.name, "tags": r.tags, "number": r.number} for r in records])
parsed = json.loads(text)
words = re.findall(r"[a-z]+-\d+", text)
counts = {}
for word in words:
    counts[word[-3:]] = counts.get(word[-3:], 0) + 1
chunks = sorted(text[i : i + 40] for i in range(0, len(text) - 40, 17))
checksum = sum(len(r["name"]) * r["number"] for r in parsed) % 1000003
print(len(by_name), len(by_tag), len(counts), len(chunks), checksum, chunks[1000])
