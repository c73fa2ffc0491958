<?php
// Arrays, objects and strings; USE_ZEND_ALLOC=0 sends them to malloc.
class Item
{
    public array $tags = [];

    public function __construct(public int $number, public string $name)
    {
        foreach ([3, 5, 7] as $step) {
            $this->tags[] = 'tag' . ($number * $step % 97);
        }
    }
}

$items = [];
for ($n = 0; $n < 60000; $n++) {
    $items[] = new Item($n, 'item-' . ($n * 7919 % 100003));
}
$byTag = [];
foreach ($items as $item) {
    foreach ($item->tags as $tag) {
        $byTag[$tag][] = $item->name;
    }
}
ksort($byTag);
$text = json_encode($items);
$parsed = json_decode($text, true);
usort($parsed, fn ($a, $b) => strcmp($a['name'], $b['name']));
$words = preg_split('/[^a-z0-9-]+/', $text);
$counts = array_count_values($words);
echo count($byTag), ' ', count($words), ' ', count($counts), ' ', strlen($text), ' ', $parsed[1000]['name'], "\n";
