//! Many entries of an object in the order of their keys, shared by all copies that have them.

use std::{mem, slice, sync::Arc};

use super::Value;

/// A key and what is under it.
pub(crate) type ObjectEntry<S> = (S, Value<S>);

/// Entries of a leaf, and children of a branch, at the most.
const WIDTH: usize = 16;

/// A search tree whose clones share it: a clone costs one count, and a change copies the nodes on
/// one path that a clone has too.
pub(super) struct ObjectTree<S> {
    root: TreeChild<S>,
}

enum TreeNode<S> {
    Leaf(Vec<Arc<ObjectEntry<S>>>),
    Branch(Vec<TreeChild<S>>),
}

/// A node with what the one above it has to know.
struct TreeChild<S> {
    /// No key of an earlier child is this one or behind it, none here is in front of it. Without a
    /// meaning where there is no earlier child.
    from: Arc<ObjectEntry<S>>,
    len: usize,
    node: Arc<TreeNode<S>>,
}

/// What became of an entry that was put into a node.
enum Put<S> {
    /// It took the place of another.
    Replaced(Arc<ObjectEntry<S>>),
    Added,
    /// The node became two, of which this is the later.
    Split(TreeChild<S>),
}

impl<S> ObjectTree<S> {
    /// A tree of these entries, which are sorted by key; `None` when there are none.
    pub(super) fn of(entries: Vec<ObjectEntry<S>>) -> Option<Self> {
        let mut leaf = Vec::with_capacity(WIDTH);
        let mut level = Vec::with_capacity(entries.len().div_ceil(WIDTH));
        for entry in entries {
            leaf.push(Arc::new(entry));
            if leaf.len() == WIDTH {
                level.extend(TreeChild::of(TreeNode::Leaf(mem::take(&mut leaf))));
            }
        }
        level.extend(TreeChild::of(TreeNode::Leaf(leaf)));
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(WIDTH));
            let mut below = level.into_iter().peekable();
            while below.peek().is_some() {
                above.extend(TreeChild::of(TreeNode::Branch(below.by_ref().take(WIDTH).collect())));
            }
            level = above;
        }
        level.pop().map(|root| Self { root })
    }

    pub(super) const fn len(&self) -> usize {
        self.root.len
    }

    pub(super) fn iter(&self) -> TreeIter<'_, S> {
        let mut iter = TreeIter { above: Vec::new(), leaf: [].iter(), left: self.root.len };
        iter.enter(&self.root.node);
        iter
    }
}

impl<S: AsRef<str>> ObjectTree<S> {
    pub(super) fn get(&self, key: &str) -> Option<&Value<S>> {
        let mut node = &*self.root.node;
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    let at = place_of(entries, key).ok()?;
                    return entries.get(at).map(|entry| &entry.1);
                }
                TreeNode::Branch(children) => node = &children.get(child_of(children, key))?.node,
            }
        }
    }

    /// Puts an entry in, and gives back the one whose key it has.
    pub(super) fn insert(&mut self, entry: ObjectEntry<S>) -> Option<Arc<ObjectEntry<S>>> {
        match self.root.put(Arc::new(entry)) {
            Put::Replaced(old) => return Some(old),
            Put::Added => {}
            Put::Split(later) => {
                let earlier = self.root.clone();
                if let Some(root) = TreeChild::of(TreeNode::Branch(vec![earlier, later])) {
                    self.root = root;
                }
            }
        }
        None
    }

    /// Takes the entry of a key out.
    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<ObjectEntry<S>>> {
        self.get(key)?;
        let removed = self.root.take(key)?;
        while let TreeNode::Branch(children) = &*self.root.node
            && let [only] = &children[..]
        {
            self.root = only.clone();
        }
        Some(removed)
    }
}

impl<S> TreeChild<S> {
    fn of(node: TreeNode<S>) -> Option<Self> {
        let (from, len) = match &node {
            TreeNode::Leaf(entries) => (Arc::clone(entries.first()?), entries.len()),
            TreeNode::Branch(children) => {
                let len = children.iter().map(|child| child.len).sum();
                (Arc::clone(&children.first()?.from), len)
            }
        };
        Some(Self { from, len, node: Arc::new(node) })
    }
}

impl<S: AsRef<str>> TreeChild<S> {
    fn put(&mut self, entry: Arc<ObjectEntry<S>>) -> Put<S> {
        let later = match Arc::make_mut(&mut self.node) {
            TreeNode::Leaf(entries) => match place_of(entries, entry.0.as_ref()) {
                Ok(at) => match entries.get_mut(at) {
                    Some(old) => return Put::Replaced(mem::replace(old, entry)),
                    None => return Put::Added,
                },
                Err(at) => {
                    entries.insert(at, entry);
                    let is_full = entries.len() > WIDTH;
                    is_full.then(|| TreeNode::Leaf(entries.split_off(WIDTH / 2)))
                }
            },
            TreeNode::Branch(children) => {
                let at = child_of(children, entry.0.as_ref());
                let Some(child) = children.get_mut(at) else { return Put::Added };
                match child.put(entry) {
                    Put::Replaced(old) => return Put::Replaced(old),
                    Put::Added => None,
                    Put::Split(later) => {
                        children.insert(at + 1, later);
                        let is_full = children.len() > WIDTH;
                        is_full.then(|| TreeNode::Branch(children.split_off(WIDTH / 2)))
                    }
                }
            }
        };
        self.len += 1;
        match later.and_then(Self::of) {
            Some(later) => {
                self.len -= later.len;
                Put::Split(later)
            }
            None => Put::Added,
        }
    }

    /// Takes out the entry of a key that is here.
    fn take(&mut self, key: &str) -> Option<Arc<ObjectEntry<S>>> {
        let taken = match Arc::make_mut(&mut self.node) {
            TreeNode::Leaf(entries) => entries.remove(place_of(entries, key).ok()?),
            TreeNode::Branch(children) => {
                let at = child_of(children, key);
                let child = children.get_mut(at)?;
                let taken = child.take(key)?;
                if child.len == 0 {
                    children.remove(at);
                }
                taken
            }
        };
        self.len -= 1;
        Some(taken)
    }
}

fn place_of<S: AsRef<str>>(entries: &[Arc<ObjectEntry<S>>], key: &str) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.0.as_ref().cmp(key))
}

/// The child that a key belongs to.
fn child_of<S: AsRef<str>>(children: &[TreeChild<S>], key: &str) -> usize {
    let behind = children.partition_point(|child| child.from.0.as_ref() <= key);
    behind.saturating_sub(1)
}

/// Entries in order.
pub(super) struct TreeIter<'a, S> {
    /// What is still to come at each level above.
    above: Vec<slice::Iter<'a, TreeChild<S>>>,
    leaf: slice::Iter<'a, Arc<ObjectEntry<S>>>,
    left: usize,
}

impl<'a, S> TreeIter<'a, S> {
    fn enter(&mut self, mut node: &'a TreeNode<S>) {
        loop {
            match node {
                TreeNode::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                TreeNode::Branch(children) => {
                    let mut children = children.iter();
                    let Some(first) = children.next() else { return };
                    self.above.push(children);
                    node = &first.node;
                }
            }
        }
    }
}

impl<'a, S> Iterator for TreeIter<'a, S> {
    type Item = &'a Arc<ObjectEntry<S>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                self.left -= 1;
                return Some(entry);
            }
            match self.above.last_mut()?.next() {
                Some(child) => self.enter(&child.node),
                None => drop(self.above.pop()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<S: PartialEq> PartialEq for ObjectTree<S> {
    /// Looks only at what the two do not share, wherever one came from the other by few changes.
    fn eq(&self, other: &Self) -> bool {
        self.root.len == other.root.len && is_equal(&self.root.node, &other.root.node)
    }
}

/// Whether two nodes of as many entries have the same ones.
fn is_equal<S: PartialEq>(a: &Arc<TreeNode<S>>, b: &Arc<TreeNode<S>>) -> bool {
    if Arc::ptr_eq(a, b) {
        return true;
    }
    match (&**a, &**b) {
        (TreeNode::Branch(a), TreeNode::Branch(b)) => {
            let is_as_long = |(a, b): (&TreeChild<S>, &TreeChild<S>)| a.len == b.len;
            if a.len() == b.len() && a.iter().zip(b).all(is_as_long) {
                return a.iter().zip(b).all(|(a, b)| is_equal(&a.node, &b.node));
            }
            entries_of(a).zip(entries_of(b)).all(is_same)
        }
        (TreeNode::Leaf(a), TreeNode::Leaf(b)) => a.iter().zip(b).all(is_same),
        (TreeNode::Leaf(a), TreeNode::Branch(b)) => a.iter().zip(entries_of(b)).all(is_same),
        (TreeNode::Branch(a), TreeNode::Leaf(b)) => entries_of(a).zip(b).all(is_same),
    }
}

fn is_same<S: PartialEq>((a, b): (&Arc<ObjectEntry<S>>, &Arc<ObjectEntry<S>>)) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn entries_of<S>(children: &[TreeChild<S>]) -> TreeIter<'_, S> {
    let left = children.iter().map(|child| child.len).sum();
    TreeIter { above: vec![children.iter()], leaf: [].iter(), left }
}

// Not derived: texts need not be clonable to be shared.
impl<S> Clone for ObjectTree<S> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone() }
    }
}

impl<S> Clone for TreeChild<S> {
    fn clone(&self) -> Self {
        Self { from: Arc::clone(&self.from), len: self.len, node: Arc::clone(&self.node) }
    }
}

impl<S> Clone for TreeNode<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(entries) => Self::Leaf(entries.clone()),
            Self::Branch(children) => Self::Branch(children.clone()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
