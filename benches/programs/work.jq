[range(20000) | {id: ., name: "item-\(. * 7919 % 100003)", tags: [range(3) as $t | "tag\((. + $t) % 97)"]}]
| (map({key: .name, value: .}) | from_entries) as $by_name
| group_by(.tags[0])
| map({tag: .[0].tags[0], count: length, names: (map(.name) | sort | .[0:2] | join("+"))})
| {tags: length, names: ($by_name | length), first: .[0:3], text: (map(.names) | join(",") | split("-") | length)}
