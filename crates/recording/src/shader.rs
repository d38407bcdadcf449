//! Composition of shaders from import lines, and expansion of templates.
//!
//! A line `//#import name` pastes the library text `name`, each text once, before the text that asks for it. WGSL module
//! scope is order-free, so composition is concatenation. A kernel whose register tile is a tuning value writes its loops
//! over the tile in Jinja syntax, because drivers unroll loops and resolve arrays less reliably than text.

use crate::Constant;

/// A failed composition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// No library text has this name.
    #[error("unknown import `{name}`")]
    Unknown {
        /// The name in the import line.
        name: String,
    },
    /// A library text imports itself, directly or through others.
    #[error("import `{name}` is circular")]
    Circular {
        /// A name on the circle.
        name: String,
    },
    /// The template does not expand.
    #[error("the template does not expand: {message}")]
    Template {
        /// What is wrong, and in which line.
        message: String,
    },
}

/// Named library texts.
pub type Library = &'static [(&'static str, &'static str)];

/// Resolves the import lines of `source` from `library`.
///
/// # Errors
/// An unknown name, or a circle of imports.
pub fn compose(source: &str, library: Library) -> Result<String, ComposeError> {
    let mut done = Vec::new();
    let mut text = String::new();
    paste_imports(source, library, &mut Vec::new(), &mut done, &mut text)?;
    text.push_str(source);
    Ok(text)
}

/// Expands the template `text` with the names and values of `values`; without values the text stays as it is.
///
/// # Errors
/// A text that is no template, or a name without a value.
pub fn expand(text: &str, values: &[Constant]) -> Result<String, ComposeError> {
    if values.is_empty() {
        return Ok(text.to_owned());
    }
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let context: std::collections::BTreeMap<&str, u32> = values.iter().map(|c| (c.name, c.value)).collect();
    environment
        .render_str(text, minijinja::value::Value::from(context))
        .map_err(|error| ComposeError::Template { message: format!("{error:#}") })
}

fn paste_imports(
    source: &str,
    library: Library,
    open: &mut Vec<String>,
    done: &mut Vec<String>,
    text: &mut String,
) -> Result<(), ComposeError> {
    for name in source.lines().filter_map(|line| line.trim().strip_prefix("//#import ")).map(str::trim) {
        if open.iter().any(|o| o == name) {
            return Err(ComposeError::Circular { name: name.to_owned() });
        }
        if done.iter().any(|d| d == name) {
            continue;
        }
        let (_, body) = library
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| ComposeError::Unknown { name: name.to_owned() })?;
        open.push(name.to_owned());
        paste_imports(body, library, open, done, text)?;
        open.pop();
        done.push(name.to_owned());
        text.push_str(body);
        text.push('\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: Library =
        &[("a", "//#import b\nfn a() {}"), ("b", "fn b() {}"), ("c", "//#import d"), ("d", "//#import c")];

    #[test]
    fn each_import_is_pasted_once_before_its_user() {
        let text = compose("//#import a\n//#import b\nfn main() {}", LIBRARY).expect("composes");
        assert_eq!(text.matches("fn b()").count(), 1);
        assert!(text.find("fn b()") < text.find("fn a()"));
    }

    #[test]
    fn templates_unroll_and_unknown_names_are_errors() {
        let values = [Constant::new("ROWS", 2)];
        let text = expand("{% for i in range(ROWS) -%}\nlet a{{ i }} = {{ i * 8 }}u;\n{% endfor %}", &values);
        assert_eq!(text.as_deref(), Ok("let a0 = 0u;\nlet a1 = 8u;\n"));
        assert_eq!(expand("{{ x }}", &[]).as_deref(), Ok("{{ x }}"));
        for text in ["{{ COLUMNS }}", "{% for %}"] {
            assert!(matches!(expand(text, &values), Err(ComposeError::Template { .. })), "{text}");
        }
    }

    #[test]
    fn unknown_and_circular_imports_are_errors() {
        assert_eq!(compose("//#import x", LIBRARY), Err(ComposeError::Unknown { name: "x".into() }));
        assert_eq!(compose("//#import c", LIBRARY), Err(ComposeError::Circular { name: "c".into() }));
    }
}
