# Lists, dictionaries and strings.
set table [dict create]
set seed 1
for {set n 0} {$n < 80000} {incr n} {
    set seed [expr {($seed * 16807) % 2147483647}]
    set key "k[expr {$seed % 9973}]"
    dict lappend table $key "item $n [string repeat x [expr {$n % 23}]]"
}
set lines {}
dict for {key items} $table {
    foreach item $items {
        lappend lines "$key:[string toupper $item]"
    }
}
set lines [lsort $lines]
set text [join $lines "\n"]
set sum 0
foreach line [split $text "\n"] {
    foreach word [split $line ": "] {
        incr sum [string length $word]
    }
}
puts "[dict size $table] [llength $lines] $sum [lindex $lines 777]"
