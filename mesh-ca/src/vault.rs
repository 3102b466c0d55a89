//! What the authority keeps: root and issuer that sign, those that come next, roots that go, and where the rotation is. As texts, so that a
//! directory and a Secret keep the same. Pure: it makes no keys. It must not know where it is kept.

use std::collections::BTreeMap;

use mesh_model::spiffe::TrustDomain;

use crate::rotation::{Act, Rotation, Step};

const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const ISSUER: &str = "issuer.pem";
const NEXT_ROOT: &str = "next-root.pem";
const NEXT_ROOT_KEY: &str = "next-root.key";
const NEXT_ISSUER: &str = "next-issuer.pem";
const OLD_ROOTS: &str = "old-roots.pem";
const ROTATION: &str = "rotation.json";
/// Every name that [`Vault::entries`] may have.
pub(crate) const NAMES: [&str; 8] =
    [ROOT, ROOT_KEY, ISSUER, NEXT_ROOT, NEXT_ROOT_KEY, NEXT_ISSUER, OLD_ROOTS, ROTATION];
/// In the place of a key that this authority does not have.
const ELSEWHERE: &str = "kept elsewhere";

/// A root and the issuer that signs below it. It has no `Debug`: keys are in it (INV-8).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// PEM: certificates that members trust. The issuer's chain ends at one of them.
    pub(crate) roots: String,
    /// The root's key, PEM or the name of a key in a token. `None`: somebody else has it.
    pub(crate) root_key: Option<String>,
    /// The issuer's key, then its certificate, then those between it and the root.
    pub(crate) issuer: String,
}

/// Everything that is kept. It has no `Debug`, either.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Vault {
    /// What signs.
    pub(crate) current: Slot,
    /// What signs next.
    pub(crate) next: Option<Slot>,
    /// Roots that signed before; their keys are gone.
    pub(crate) old_roots: Option<String>,
    pub(crate) rotation: Rotation,
}

/// Why keys of a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// No root.
    #[error("the root cannot be used: {0}")]
    Root(String),
    /// No issuer, or not of this root.
    #[error("the issuer cannot be used: {0}")]
    Issuer(String),
    /// Not known how far the rotation is.
    #[error("the state of the rotation cannot be used: {0}")]
    Rotation(String),
    /// They belong to another mesh.
    #[error("the root is of trust domain `{found}`, but this CA is of `{wanted}`")]
    TrustDomain {
        /// What the root says.
        found: TrustDomain,
        /// What was configured.
        wanted: TrustDomain,
    },
    /// Too late.
    #[error("the root expired at Unix second {0}")]
    Expired(u64),
}

impl Vault {
    pub(crate) fn begin(current: Slot, leaf_life: u64, now: u64) -> Self {
        Self { current, next: None, old_roots: None, rotation: Rotation::begin(now, leaf_life) }
    }

    /// By name, for a store.
    pub(crate) fn entries(&self) -> BTreeMap<String, String> {
        let key = |slot: &Slot| slot.root_key.clone().unwrap_or_else(|| ELSEWHERE.to_owned());
        let mut entries = BTreeMap::new();
        let mut put = |name: &str, text: String| entries.insert(name.to_owned(), text);
        put(ROOT, self.current.roots.clone());
        put(ROOT_KEY, key(&self.current));
        put(ISSUER, self.current.issuer.clone());
        if let Some(next) = &self.next {
            put(NEXT_ROOT, next.roots.clone());
            put(NEXT_ROOT_KEY, key(next));
            put(NEXT_ISSUER, next.issuer.clone());
        }
        if let Some(old) = &self.old_roots {
            put(OLD_ROOTS, old.clone());
        }
        put(ROTATION, serde_json::to_string(&self.rotation).unwrap_or_default());
        entries
    }

    /// Back from a store. `None`: none of the keys is there. Keys without a rotation were kept by a version that knew none.
    pub(crate) fn from_entries(
        entries: &BTreeMap<String, String>,
        leaf_life: u64,
        now: u64,
    ) -> Result<Option<Self>, BadKeys> {
        let text = |name: &str| entries.get(name).filter(|text| !text.trim().is_empty()).cloned();
        if [ROOT, ROOT_KEY, ISSUER, ROTATION].into_iter().all(|name| text(name).is_none()) {
            return Ok(None);
        }
        let missing = |name: &str| format!("key `{name}` is missing");
        let root = |name: &str| text(name).ok_or_else(|| BadKeys::Root(missing(name)));
        let slot = |roots: &str, key: &str, issuer: &str| {
            Ok(Slot {
                roots: root(roots)?,
                root_key: Some(root(key)?).filter(|key| key.trim() != ELSEWHERE),
                issuer: text(issuer).ok_or_else(|| BadKeys::Issuer(missing(issuer)))?,
            })
        };
        let rotation = match text(ROTATION) {
            None => Rotation::begin(now, leaf_life),
            Some(json) => {
                serde_json::from_str(&json).map_err(|error| BadKeys::Rotation(error.to_string()))?
            }
        };
        let has_next = matches!(rotation.step, Step::RootPrepared | Step::RootPublished);
        let next = has_next.then(|| slot(NEXT_ROOT, NEXT_ROOT_KEY, NEXT_ISSUER)).transpose()?;
        let has_old = rotation.step == Step::IssuerMoved;
        let old_roots = has_old.then(|| root(OLD_ROOTS)).transpose()?;
        Ok(Some(Self { current: slot(ROOT, ROOT_KEY, ISSUER)?, next, old_roots, rotation }))
    }

    /// After a step; `slot` is what was made for it.
    pub(crate) fn after(&self, act: Act, slot: Option<Slot>, leaf_life: u64, now: u64) -> Self {
        let mut vault = Self { rotation: self.rotation.after(act, now), ..self.clone() };
        match act {
            Act::Prepare => vault.next = slot,
            Act::Publish => {}
            Act::Move => {
                if let Some(next) = vault.next.take() {
                    // The key of the old root is gone with this: it signs nothing any more.
                    vault.old_roots = Some(std::mem::replace(&mut vault.current, next).roots);
                }
            }
            Act::Drop => {
                vault.old_roots = None;
                vault.rotation.leaf_life = leaf_life;
            }
            Act::RenewIssuer => {
                if let Some(slot) = slot {
                    vault.current.issuer = slot.issuer;
                }
            }
        }
        vault
    }

    /// PEM of all roots that members trust now, the oldest first.
    pub(crate) fn bundle(&self) -> String {
        let next = self.next.as_ref().filter(|_| self.rotation.step >= Step::RootPublished);
        let roots =
            [self.old_roots.as_deref(), Some(&self.current.roots), next.map(|slot| slot.roots.as_str())];
        roots.into_iter().flatten().map(with_newline).collect()
    }
}

fn with_newline(text: &str) -> String {
    let text = text.trim_end();
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str) -> Slot {
        Slot {
            roots: format!("root {name}\n"),
            root_key: Some(format!("key {name}")),
            issuer: format!("issuer {name}"),
        }
    }

    #[test]
    fn what_is_kept_comes_back_at_every_step() {
        let mut vault = Vault::begin(slot("1"), 60, 100);
        for act in [Act::Prepare, Act::Publish, Act::Move, Act::Drop] {
            let entries = vault.entries();
            assert!(entries.keys().all(|name| NAMES.contains(&name.as_str())));
            assert!(Vault::from_entries(&entries, 60, 100).unwrap().unwrap() == vault, "before {act:?}");
            vault = vault.after(act, Some(slot("2")), 60, 200);
        }
        assert!(Vault::from_entries(&vault.entries(), 60, 100).unwrap().unwrap() == vault);
        assert_eq!(vault.rotation.generation, 3);
        assert_eq!(vault.bundle(), "root 2\n");
    }

    #[test]
    fn the_bundle_has_the_next_root_once_it_is_published_and_the_old_one_until_it_is_dropped() {
        let prepared = Vault::begin(slot("1"), 60, 100).after(Act::Prepare, Some(slot("2")), 60, 200);
        assert_eq!(prepared.bundle(), "root 1\n");
        let published = prepared.after(Act::Publish, None, 60, 200);
        assert_eq!(published.bundle(), "root 1\nroot 2\n");
        let moved = published.after(Act::Move, None, 60, 200);
        assert_eq!(moved.bundle(), "root 1\nroot 2\n");
        assert!(!moved.entries().values().any(|text| text == "key 1"), "the old root's key is gone");
        assert_eq!(moved.after(Act::Drop, None, 60, 200).bundle(), "root 2\n");
    }

    #[test]
    fn keys_of_a_version_without_rotation_are_steady_and_half_of_the_keys_is_an_error() {
        let mut entries = Vault::begin(slot("1"), 60, 100).entries();
        entries.remove(ROTATION);
        let vault = Vault::from_entries(&entries, 60, 100).unwrap().unwrap();
        assert_eq!((vault.rotation.generation, vault.rotation.step), (1, Step::Steady));
        assert!(Vault::from_entries(&BTreeMap::new(), 60, 100).unwrap().is_none());
        for (name, says) in [(ROOT, "root.pem"), (ROOT_KEY, "root.key"), (ISSUER, "issuer.pem")] {
            let mut entries = Vault::begin(slot("1"), 60, 100).entries();
            entries.remove(name);
            let error = Vault::from_entries(&entries, 60, 100).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
