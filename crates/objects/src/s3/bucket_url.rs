//! The URL of a bucket and a prefix in it.

use std::str::FromStr;

/// `s3://bucket/prefix`, in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BucketUrl {
    pub(super) bucket: String,
    /// Without `/` at its begin and end; empty where there is none.
    pub(super) prefix: String,
}

/// A text that is no URL of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no URL of a bucket, such as s3://bucket/prefix: a prefix has letters, digits, `-`, `_`, `.` and \
     `/`"
)]
pub struct InvalidBucketUrl;

impl FromStr for BucketUrl {
    type Err = InvalidBucketUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBucketUrl> {
        let path = text.strip_prefix("s3://").ok_or(InvalidBucketUrl)?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_bucket = !bucket.is_empty() && bucket.bytes().all(is_plain);
        let is_name = |name: &str| {
            !name.is_empty() && name != "." && name != ".." && name.bytes().all(is_plain)
        };
        let is_prefix = prefix.is_empty() || prefix.split('/').all(is_name);
        match is_bucket && is_prefix {
            true => Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() }),
            false => Err(InvalidBucketUrl),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_a_prefix_are_told_apart() {
        let parts = |text: &str| {
            let BucketUrl { bucket, prefix } = text.parse().ok()?;
            Some((bucket, prefix))
        };
        let some = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(parts("s3://b"), some("b", ""));
        assert_eq!(parts("s3://b.c-d/"), some("b.c-d", ""));
        assert_eq!(parts("s3://b/one/Two_3/"), some("b", "one/Two_3"));
        for text in [
            "",
            "b",
            "s3:/b",
            "s3://",
            "s3:///a",
            "S3://b",
            "s3://b//a",
            "s3://b/a/../c",
            "s3://b/a b",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
