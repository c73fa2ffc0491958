# Fields, associative arrays and string building over invented lines.
BEGIN {
    seed = 1
    for (n = 0; n < 250000; n++) {
        seed = (seed * 16807) % 2147483647
        line = "user" (seed % 20011) " " n " " (seed % 1000) " " substr("abcdefghijklmnopqrstuvwxyz", 1, seed % 26)
        count = split(line, field, " ")
        sum[field[1]] += field[3]
        text[field[1]] = substr(text[field[1]] field[4], 1, 60)
        words += count
    }
    for (user in sum) {
        users++
        total += sum[user]
        letters += length(text[user])
        sub(/abc/, "x", text[user])
        short += length(text[user])
    }
    print users, words, total, letters, short
}
