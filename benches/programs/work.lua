-- Tables, closures and strings.
local function tree(depth)
  if depth == 0 then return { value = depth } end
  return { left = tree(depth - 1), right = tree(depth - 1), value = depth }
end
local function count(node)
  return node and 1 + count(node.left) + count(node.right) or 0
end
local total = 0
for depth = 4, 14 do
  for _ = 1, 3 do total = total + count(tree(depth)) end
end
local words, seed = {}, 1
for n = 1, 120000 do
  seed = (seed * 16807) % 2147483647
  local word = "w" .. seed % 50021
  words[word] = (words[word] or "") .. string.char(97 + n % 26)
end
local list = {}
for word, text in pairs(words) do list[#list + 1] = word .. text:upper():rep(3) end
table.sort(list)
local joined = table.concat(list, ",")
local fields = 0
for _ in joined:gmatch("[^,]+") do fields = fields + 1 end
print(total, #list, #joined, fields, list[1000])
