# Strings, hashes, threads and a fork.
require 'digest/sha2'  # loaded lazily, its classes are found half made by other threads

table = {}
200_000.times { |i| table["key#{i * 7919 % 50_021}"] = [i, "v" * (i % 40)] }
puts "table #{table.size} #{table.values.sum { |v| v[0] + v[1].size }}"
digests = 4.times.map { |seed|
  Thread.new {
    rng = Random.new(seed)
    parts = 20_000.times.map { |i| (i % 251).chr * rng.rand(1..2000) }
    Digest::SHA256.hexdigest(parts.each_slice(2).map(&:first).join)
  }
}.map(&:value)
puts digests
reader, writer = IO.pipe
child = fork {
  reader.close
  table.clear
  GC.start
  writer.puts 50_000.times.map(&:to_s).join.size
  writer.close
  exit! 0
}
writer.close
puts "child #{reader.read.strip}"
Process.wait(child)
puts "status #{$?.exitstatus} parent #{table.size}"
