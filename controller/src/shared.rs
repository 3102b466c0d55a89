//! An ordered map whose copies share what is the same in them: a copy is cheap, and a change of a copy costs a part of the map, not all of
//! it. Readers keep the copy that they have while the next one is made. It must not know what is in it.
//!
//! Entries lie in chunks, sorted, without room to spare between them: of many small entries there is little beside the entries.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// Entries of a chunk before it is cut in two.
const MOST: usize = 96;
/// Entries of a chunk that is made of many at once.
const FILLED: usize = 64;
/// Places that are made at a time.
const SPARE: usize = 8;
/// Neighbours with fewer together become one.
const FEWEST: usize = 32;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// An ordered map whose copies share what is the same in them.
pub struct SharedMap<K, V> {
    /// None of them is empty.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> SharedMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.chunks.iter().flat_map(entries as fn(&Chunk<K, V>) -> Entries<'_, K, V>)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

/// Entries of one chunk.
pub type Entries<'a, K, V> = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&(K, V)) -> (&K, &V)>;
/// All entries of a map, in the order of their keys.
pub type Iter<'a, K, V> = std::iter::FlatMap<
    std::slice::Iter<'a, Chunk<K, V>>,
    Entries<'a, K, V>,
    fn(&'a Chunk<K, V>) -> Entries<'a, K, V>,
>;

fn entries<K, V>(chunk: &Chunk<K, V>) -> Entries<'_, K, V> {
    chunk.iter().map(|(key, value)| (key, value))
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The chunk where a key is or would be.
    fn chunk<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let begins = |chunk: &Chunk<K, V>| chunk.first().is_some_and(|(first, _)| first.borrow() <= key);
        self.chunks.partition_point(begins).saturating_sub(1)
    }

    /// Where a key is, or where it would be: the chunk and the place in it.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let at = self.chunk(key);
        let found = self
            .chunks
            .get(at)
            .map_or(Err(0), |chunk| chunk.binary_search_by(|(other, _)| other.borrow().cmp(key)));
        (at, found)
    }

    /// The value of a key that nobody has at hand: `order` says how a key stands to it.
    pub fn get_by(&self, order: impl Fn(&K) -> Ordering) -> Option<&V> {
        let begins = |chunk: &Chunk<K, V>| chunk.first().is_some_and(|(first, _)| order(first).is_le());
        let chunk = self.chunks.get(self.chunks.partition_point(begins).checked_sub(1)?)?;
        let place = chunk.binary_search_by(|(key, _)| order(key)).ok()?;
        chunk.get(place).map(|(_, value)| value)
    }

    /// The entry of a key.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (chunk, place) = self.place(key);
        let (key, value) = self.chunks.get(chunk)?.get(place.ok()?)?;
        Some((key, value))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// Whether a key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).1.is_ok()
    }

    /// Those from a key on, in the order of their keys.
    pub fn from<'a, Q: Ord + ?Sized>(
        &'a self,
        key: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.place(key);
        let place = place.unwrap_or_else(|place| place);
        let first = self.chunks.get(at).and_then(|chunk| chunk.get(place..)).unwrap_or_default();
        let rest = self.chunks.get(at + 1..).unwrap_or_default();
        first.iter().chain(rest.iter().flat_map(|chunk| chunk.iter())).map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Adds or replaces; gives what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = self.place(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let entries = Arc::make_mut(chunk);
        match place {
            Ok(place) => entries.get_mut(place).map(|(_, known)| std::mem::replace(known, value)),
            Err(place) => {
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(SPARE);
                }
                entries.insert(place, (key, value));
                self.len += 1;
                if entries.len() > MOST {
                    // Who comes in order fills what is left behind; nobody comes to it again.
                    let in_order = place + 1 == entries.len();
                    let rest = entries.split_off(if in_order { FILLED } else { MOST / 2 });
                    entries.shrink_to_fit();
                    chunks.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Takes away; gives what was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, Ok(place)) = self.place(key) else { return None };
        let chunks = Arc::make_mut(&mut self.chunks);
        let entries = Arc::make_mut(chunks.get_mut(at)?);
        let (_, value) = entries.remove(place);
        self.len -= 1;
        let left = entries.len();
        let next = chunks.get(at + 1).map_or(usize::MAX, |next| next.len());
        if left == 0 {
            chunks.remove(at);
        } else if left.saturating_add(next) < FEWEST {
            let next = chunks.remove(at + 1);
            if let Some(chunk) = chunks.get_mut(at) {
                Arc::make_mut(chunk).extend(next.iter().cloned());
            }
        }
        Some(value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, Ok(place)) = self.place(key) else { return None };
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(at)?;
        Arc::make_mut(chunk).get_mut(place).map(|(_, value)| value)
    }
}

impl<K: Ord + Clone, V: PartialEq> SharedMap<K, Arc<V>> {
    /// The same, but what is the same in `before` is taken from there: nothing is held twice.
    pub fn adopting(&self, before: &Self) -> Self {
        if self == before {
            return before.clone();
        }
        let known = |key: &K, value: &Arc<V>| {
            let (key, known) = before.get_key_value(key).filter(|(_, known)| *known == value)?;
            Some((key.clone(), Arc::clone(known)))
        };
        let all = self
            .iter()
            .map(|(key, value)| known(key, value).unwrap_or_else(|| (key.clone(), Arc::clone(value))));
        all.collect()
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && (Arc::ptr_eq(&self.chunks, &other.chunks) || self.iter().eq(other.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

/// Of several values of one key the last one counts.
impl<K: Ord, V> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut all: Vec<(K, V)> = entries.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut chunks: Vec<Chunk<K, V>> = Vec::with_capacity(all.len().div_ceil(FILLED));
        let mut chunk: Vec<(K, V)> = Vec::with_capacity(FILLED.min(all.len()));
        let mut len = 0;
        for (key, value) in all {
            if let Some((_, known)) = chunk.last_mut().filter(|(last, _)| *last == key) {
                *known = value;
                continue;
            }
            if chunk.len() == FILLED {
                chunks.push(Arc::new(std::mem::replace(&mut chunk, Vec::with_capacity(FILLED))));
            }
            chunk.push((key, value));
            len += 1;
        }
        chunk.shrink_to_fit();
        if !chunk.is_empty() {
            chunks.push(Arc::new(chunk));
        }
        Self { chunks: Arc::new(chunks), len }
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V, Q: Ord + ?Sized> Index<&Q> for SharedMap<K, V>
where
    K: Borrow<Q>,
{
    type Output = V;

    /// As of the standard library's maps: only for who knows that it is there.
    #[expect(
        clippy::expect_used,
        reason = "indexing is for who knows that the key is there, as of every map"
    )]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is there")
    }
}

#[cfg(test)]
mod tests;
