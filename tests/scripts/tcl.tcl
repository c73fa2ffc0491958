# Lists, dictionaries, strings and a pipeline of processes.
set table [dict create]
for {set i 0} {$i < 100000} {incr i} {
    dict lappend table key[expr {$i * 7919 % 20011}] $i
}
set sum 0
dict for {key values} $table { incr sum [llength $values] }
puts "[dict size $table] $sum"
set text ""
for {set i 0} {$i < 100000} {incr i} { append text "$i," }
puts "[string length $text] [llength [split $text ,]]"
puts [lrange [lsort -integer -decreasing [split [string trimright $text ,] ,]] 0 9]
puts [exec seq 1 1000 | wc -l]
