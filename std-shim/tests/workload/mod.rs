//! What the tests of the global allocator run on it. Everything allocates as any program does.

pub mod fork;
pub mod layouts;
pub mod threads;

use std::collections::{BTreeMap, HashMap, VecDeque};

/// A reproducible sequence (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// A length that is mostly small, and sometimes longer than any slab's objects.
pub fn length(random: &mut Random) -> usize {
    let most = [64, 64, 64, 512, 512, 4096, 20_000, 200_000][random.below(8)];
    1 + random.below(most)
}

/// Bytes that tell which block they belong to.
pub struct Patterned {
    seed: usize,
    bytes: Vec<u8>,
}

impl Patterned {
    pub fn new(seed: usize, len: usize) -> Patterned {
        let mut bytes = Vec::with_capacity(len);
        bytes.extend((0..len).map(|at| pattern(seed, at)));
        Patterned { seed, bytes }
    }

    /// Makes it longer or shorter.
    pub fn resize(&mut self, len: usize) {
        let old = self.bytes.len();
        self.bytes.truncate(len);
        self.bytes
            .extend((old..len).map(|at| pattern(self.seed, at)));
        self.bytes.shrink_to_fit();
    }

    /// Whether nobody else has written to it.
    pub fn is_intact(&self) -> bool {
        self.bytes
            .iter()
            .enumerate()
            .all(|(at, &byte)| byte == pattern(self.seed, at))
    }
}

fn pattern(seed: usize, at: usize) -> u8 {
    (seed.wrapping_mul(0x9E37_79B9) >> 8) as u8 ^ at as u8 ^ (at >> 8) as u8
}

/// Keeps a changing set of blocks of all sizes, and looks at each before it goes.
pub fn churn(seed: usize, steps: usize) {
    let mut random = Random::new(seed as u64);
    let mut live: Vec<Patterned> = Vec::new();
    for step in 0..steps {
        if live.len() < 200 || random.below(2) == 0 {
            let len = length(&mut random);
            live.push(Patterned::new(seed ^ step, len));
        } else if random.below(4) == 0 {
            let place = random.below(live.len());
            live[place].resize(length(&mut random));
        } else {
            let gone = live.swap_remove(random.below(live.len()));
            assert!(gone.is_intact());
        }
        if live.len() > 400 {
            live.truncate(300);
        }
    }
    assert!(live.iter().all(Patterned::is_intact));
}

/// The standard library's collections, with sums that come out only if nothing is lost.
pub fn collections() {
    let words: Vec<String> = (0..20_000).map(|i| format!("word {}", i * 7)).collect();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut sorted: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut queue = VecDeque::new();
    for (at, word) in words.iter().enumerate() {
        by_name.insert(word, at);
        sorted.entry(word[..6].to_owned()).or_default().push(at);
        queue.push_back(word.clone());
        if at % 3 == 0 {
            queue.pop_front();
        }
    }
    let expected: usize = (0..20_000).sum();
    assert_eq!(by_name.values().sum::<usize>(), expected);
    assert_eq!(sorted.values().flatten().sum::<usize>(), expected);
    assert!(
        words
            .iter()
            .enumerate()
            .all(|(at, word)| by_name[word.as_str()] == at)
    );
    assert!(queue.iter().eq(words[20_000 - queue.len()..].iter()));
    let joined = words.join(",");
    assert_eq!(joined.split(',').count(), 20_000);
}
