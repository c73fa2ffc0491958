# Objects, strings, hashes and arrays with a garbage collector above malloc.
Node = Struct.new(:key, :left, :right, :text)

def insert(node, key)
  return Node.new(key, nil, nil, "node #{key} " * 4) if node.nil?
  if key < node.key
    node.left = insert(node.left, key)
  else
    node.right = insert(node.right, key)
  end
  node
end

seed = 1
root = nil
15_000.times do
  seed = (seed * 1103515245 + 12345) % 2147483648
  root = insert(root, seed)
end
table = Hash.new { |hash, key| hash[key] = [] }
60_000.times { |n| table["k#{n * 7919 % 5003}"] << "value-#{n}" * 3 }
text = table.map { |key, values| "#{key}=#{values.join(';')}" }.sort.join("\n")
words = text.split(/[;=\n]/)
counts = words.group_by(&:size).transform_values(&:count)
depth = ->(node) { node ? 1 + [depth[node.left], depth[node.right]].max : 0 }
puts [depth[root], table.size, words.size, counts.size, text.sum].join(" ")
