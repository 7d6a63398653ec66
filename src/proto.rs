//! The provider protocol of the Secrets Store CSI driver, generated from `proto/provider.proto`.

#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic)]

use std::fmt;

tonic::include_proto!("v1alpha1");

impl fmt::Debug for MountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountRequest")
            .field("target_path", &self.target_path)
            .field("permission", &self.permission)
            .field("current_object_version", &self.current_object_version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MountResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountResponse")
            .field("object_version", &self.object_version)
            .field("error", &self.error)
            .field("files", &self.files)
            .finish()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("mode", &self.mode).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_tokens_nor_contents() {
        let file = File { path: "p".into(), mode: 420, contents: b"hunter2".to_vec() };
        let response = MountResponse { files: vec![file], ..MountResponse::default() };
        let request = MountRequest {
            attributes: "hunter2".into(),
            secrets: "hunter2".into(),
            ..MountRequest::default()
        };
        let shown = format!("{request:?} {response:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
    }
}
