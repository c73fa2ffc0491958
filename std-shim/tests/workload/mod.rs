//! What the tests of the global allocator run on it. Everything allocates as any program does.

pub(crate) mod fork;
pub(crate) mod layouts;
pub(crate) mod threads;

use std::collections::{BTreeMap, HashMap, VecDeque};

/// A reproducible sequence (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

/// A length that is mostly small, and sometimes longer than any slab's objects.
pub(crate) fn length(random: &mut Random) -> usize {
    let most = [64, 64, 64, 512, 512, 4096, 20_000, 200_000][random.below(8)];
    1 + random.below(most)
}

/// Bytes that tell which block they belong to.
pub(crate) struct Patterned {
    pattern: u8,
    bytes: Vec<u8>,
}

/// Compared with a whole piece at a time, which is quick without optimisation, too.
const PIECE: usize = 4096;

impl Patterned {
    pub(crate) fn new(seed: usize, len: usize) -> Patterned {
        let pattern = (seed.wrapping_mul(0x9E37_79B9) >> 16) as u8;
        Patterned {
            pattern,
            bytes: vec![pattern; len],
        }
    }

    /// Makes it longer or shorter.
    pub(crate) fn resize(&mut self, len: usize) {
        self.bytes.resize(len, self.pattern);
        self.bytes.shrink_to_fit();
    }

    /// Whether nobody else has written to it.
    pub(crate) fn is_intact(&self) -> bool {
        let expected = [self.pattern; PIECE];
        let mut pieces = self.bytes.chunks(PIECE);
        pieces.all(|piece| piece == &expected[..piece.len()])
    }
}

/// Keeps a changing set of blocks of all sizes, and looks at each before it goes.
pub(crate) fn churn(seed: usize, steps: usize) {
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
pub(crate) fn collections() {
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

/// All of it but the forks, briefly.
pub(crate) fn everything() {
    collections();
    churn(5, 5000);
    layouts::growth();
    layouts::alignment();
    layouts::zeros();
    layouts::too_large();
    threads::stress(8, 1000);
    threads::channels();
    threads::short_lived(100);
    threads::thread_local_destructors();
}
