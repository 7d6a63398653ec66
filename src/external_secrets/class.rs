//! Writes a `SecretProviderClass`.

use super::converted_class::{ClassSources, ConvertedClass};
use super::data::{KeyItem, VaultValue};
use super::metadata::Pairs;
use super::note::Note;
use super::objects;
use super::secret::ExternalSecret;
use super::store::Vault;
use super::write::Tree;
use crate::plan::{RelativePath, quoted};
use crate::secret_rules::{TLS, TLS_KEYS};

/// The text of a class.
#[derive(Debug)]
pub(super) struct WrittenClass {
    pub tree: Tree,
    /// What the class lacks or requires. The text has the same notes as comments.
    pub notes: Vec<Note>,
}

impl ConvertedClass {
    pub(super) fn write(&self, sources: &ClassSources<'_>) -> WrittenClass {
        let ClassSources { secret, store, login, .. } = sources;
        let mut notes = Vec::new();
        let written = objects::write(self, sources, &mut notes);
        let mut metadata = vec![("name".to_owned(), Tree::text(&self.name))];
        metadata.extend(
            secret.namespace.as_ref().map(|namespace| ("namespace".to_owned(), Tree::text(namespace))),
        );
        metadata.extend(map_of("labels", &secret.own_labels));
        metadata.extend(map_of("annotations", &secret.own_annotations));
        let mut spec = vec![("provider".to_owned(), Tree::text("azure"))];
        let mut parameters = vec![match &store.vault {
            Vault::Name(name) => ("keyvaultName", name.clone()),
            Vault::Url(url) => ("vaultURL", url.clone()),
        }];
        parameters.extend(store.cloud.map(|cloud| ("cloudName", cloud.to_owned())));
        parameters.extend(login.parameters.iter().cloned());
        parameters.push(("rotationMaxAge", secret.max_age.clone()));
        let parameters = parameters.into_iter().map(|(key, value)| (key.to_owned(), Tree::Text(value)));
        let blocks = [("objects", Some(written.objects)), ("templates", written.templates)];
        let blocks = blocks.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Tree::Block(text?))));
        let parameters = parameters.chain(blocks).collect();
        let comments = [&secret.notes, &store.notes, &login.notes];
        let comments = comments.into_iter().flatten().map(Note::comment).collect();
        notes.splice(0..0, secret.notes.iter().chain(&store.notes).chain(&login.notes).cloned());
        spec.push(("parameters".to_owned(), Tree::Map(parameters).commented(comments)));
        if self.syncs {
            spec.push(("secretObjects".to_owned(), Self::secret_object(secret, &mut notes)));
        }
        let tree = Tree::map([
            ("apiVersion", Tree::text("secrets-store.csi.x-k8s.io/v1")),
            ("kind", Tree::text("SecretProviderClass")),
            ("metadata", Tree::Map(metadata)),
            ("spec", Tree::Map(spec)),
        ]);
        WrittenClass { tree, notes }
    }

    fn secret_object(secret: &ExternalSecret, notes: &mut Vec<Note>) -> Tree {
        let data = secret.items.iter().filter_map(|item| {
            let key = item.converted_key()?;
            Some((key, item.value.as_ref().map_or_else(|| key.to_owned(), VaultValue::file)))
        });
        // With any other key the driver creates no Secret of this type.
        let fills = |(key, _): &(&str, String)| secret.kind != TLS || TLS_KEYS.contains(key);
        let data = data.filter(fills).filter(|(_, file)| RelativePath::parse(file).is_ok());
        let data =
            data.map(|(key, file)| Tree::map([("objectName", Tree::text(file)), ("key", Tree::text(key))]));
        let mut object = vec![
            ("secretName".to_owned(), Tree::text(&secret.target_name)),
            ("type".to_owned(), Tree::text(&secret.kind)),
        ];
        object.extend(map_of("labels", &secret.labels));
        object.extend(map_of("annotations", &secret.annotations));
        object.push(("data".to_owned(), Tree::List(data.collect())));
        let problem =
            format!("the driver creates Secret {} while a pod mounts this class", secret.target_name);
        let mut own =
            vec![Note::remark("secretObjects", problem, "install the driver with syncSecret.enabled=true")];
        for value in secret.items.iter().filter(|item| item.key.is_none()).flat_map(KeyItem::values) {
            let problem = format!(
                "the driver must know the keys of the Secret, and only the vault knows the keys of {}",
                quoted(value.object.name.as_str())
            );
            let help = "add each key to secretObjects: as objectName and as key";
            own.push(Note::lost(format!("{}.extract", value.object.location), problem, help));
        }
        if secret.optional {
            let problem =
                "an object that is missing in the vault stops the pods, because the Secret needs all objects";
            own.push(Note::lost(
                "spec.target.deletionPolicy",
                problem,
                "mount the keys as files instead, where objects can be optional",
            ));
        }
        let comments = own.iter().map(Note::comment).collect();
        notes.append(&mut own);
        Tree::List(vec![Tree::Map(object)]).commented(comments)
    }
}

fn map_of(key: &str, pairs: &Pairs) -> Option<(String, Tree)> {
    let entries = pairs.iter().map(|(key, value)| (key.clone(), Tree::text(value))).collect::<Vec<_>>();
    (!entries.is_empty()).then(|| (key.to_owned(), Tree::Map(entries)))
}
