//! `trunkline catalog`.

use http::Method;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::shape::{Addressed, Catalog, Named};

use super::client::{Client, Remote, Trouble};
use super::table::{cut, table};

/// Characters of a cell that a server wrote.
const CELL: usize = 100;

/// Shows the catalog.
pub async fn catalog(client: &Client, remote: &Remote) -> Result<u8, Trouble> {
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/catalog").await?));
        return Ok(exit::OK);
    }
    print(&told(&client.get("/catalog").await?));
    Ok(exit::OK)
}

fn told(catalog: &Catalog) -> String {
    let mut rows = Vec::new();
    for (kind, entries) in [("tool", &catalog.tools), ("prompt", &catalog.prompts)] {
        let row = |entry: &Named| {
            let own = if entry.shortened { cut(&entry.own_name, CELL) } else { String::new() };
            vec![kind.to_owned(), cut(&entry.name, CELL), entry.server.clone(), own]
        };
        rows.extend(entries.iter().map(row));
    }
    for (kind, entries) in [("resource", &catalog.resources), ("template", &catalog.templates)] {
        let row = |entry: &Addressed| {
            vec![kind.to_owned(), cut(&entry.uri, CELL), entry.server.clone(), String::new()]
        };
        rows.extend(entries.iter().map(row));
    }
    let mut text = table(&["KIND", "NAME", "SERVER", "SHORTENED FROM"], &rows);
    for remark in &catalog.remarks {
        text.push_str(&format!("{}: {}\n", remark.server, cut(&remark.text, 4 * CELL)));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::http::api::shape::Remark;

    use super::*;

    #[test]
    fn the_catalog_names_what_was_shortened_and_what_clashes() {
        let named = |name: &str, own: &str, shortened| Named {
            name: name.to_owned(),
            server: "a".to_owned(),
            own_name: own.to_owned(),
            shortened,
        };
        let catalog = Catalog {
            tools: vec![named("a__b", "b", false), named("a__c_d_0011", "c.d", true)],
            prompts: Vec::new(),
            resources: vec![Addressed { uri: "file:///x".to_owned(), server: "a".to_owned() }],
            templates: Vec::new(),
            remarks: vec![Remark {
                server: "b".to_owned(),
                text: "resource 'file:///x' is answered by a".to_owned(),
            }],
        };
        let expected = "\
KIND      NAME         SERVER  SHORTENED FROM
tool      a__b         a
tool      a__c_d_0011  a       c.d
resource  file:///x    a
b: resource 'file:///x' is answered by a
";
        assert_eq!(told(&catalog), expected);
    }
}
