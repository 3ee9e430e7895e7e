//! Sizes of one file and of its functions, from the syntax tree.

use std::ops::RangeInclusive;

use anyhow::Result;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What was measured in one file.
pub struct File {
    /// Lines, without those of tests.
    pub lines: usize,
    /// Functions and methods, without tests.
    pub functions: Vec<Function>,
    /// The lines of tests.
    pub tests: Vec<RangeInclusive<usize>>,
    /// The lines of items that expect a lint of clippy, with the reason beside it.
    pub expected: Vec<RangeInclusive<usize>>,
    /// Modules in files of their own that are tests.
    pub test_modules: Vec<String>,
}

/// One function.
pub struct Function {
    pub name: String,
    pub line: usize,
    /// From `fn` to the closing brace.
    pub lines: usize,
    /// The receiver counts, as it does for clippy.
    pub parameters: usize,
    /// How deep control flow is nested.
    pub nesting: usize,
}

/// Measures a file.
pub fn file(text: &str) -> Result<File> {
    let mut walk = Walk::default();
    walk.visit_file(&syn::parse_file(text)?);
    let in_tests: usize = walk.tests.iter().map(|range| range.end() - range.start() + 1).sum();
    let Walk { functions, tests, expected, test_modules, .. } = walk;
    Ok(File { lines: text.lines().count().saturating_sub(in_tests), functions, tests, expected, test_modules })
}

#[derive(Default)]
struct Walk {
    functions: Vec<Function>,
    tests: Vec<RangeInclusive<usize>>,
    expected: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
    /// Within an implementation of a trait.
    of_trait: bool,
}

impl Walk {
    fn leave_out(&mut self, attributes: &[syn::Attribute], item: &impl Spanned) -> bool {
        let lines = item.span().start().line..=item.span().end().line;
        let test = attributes.iter().any(is_test);
        if test {
            self.tests.push(lines);
        } else if attributes.iter().any(|attribute| attribute.path().is_ident("expect")) {
            self.expected.push(lines);
        }
        test
    }

    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let mut depth = Depth::default();
        depth.visit_block(body);
        let line = signature.span().start().line;
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: body.span().end().line - line + 1,
            parameters: if self.of_trait { 0 } else { signature.inputs.len() },
            nesting: depth.most,
        });
    }
}

/// `#[cfg(test)]`, `#[test]` and the likes of `#[tokio::test]`.
fn is_test(attribute: &syn::Attribute) -> bool {
    let path = attribute.path();
    let last = path.segments.last().is_some_and(|segment| segment.ident == "test");
    last || path.is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !self.leave_out(&item.attrs, item) {
            visit::visit_item_mod(self, item);
        } else if item.content.is_none() {
            self.test_modules.push(item.ident.to_string());
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !self.leave_out(&item.attrs, item) {
            // How many parameters there are is for the trait to say.
            let outer = std::mem::replace(&mut self.of_trait, item.trait_.is_some());
            visit::visit_item_impl(self, item);
            self.of_trait = outer;
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !self.leave_out(&item.attrs, item) {
            self.measure(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !self.leave_out(&item.attrs, item) {
            self.measure(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Control flow within control flow. An `else if` is beside its `if`, not in it.
#[derive(Default)]
struct Depth {
    now: usize,
    most: usize,
}

impl Depth {
    fn deeper(&mut self, visit: impl FnOnce(&mut Self)) {
        self.now += 1;
        self.most = self.most.max(self.now);
        visit(self);
        self.now -= 1;
    }
}

impl<'ast> Visit<'ast> for Depth {
    fn visit_expr(&mut self, expression: &'ast syn::Expr) {
        let block = |expression: &syn::Expr| matches!(expression, syn::Expr::Block(_));
        let nests = match expression {
            syn::Expr::Match(_) | syn::Expr::ForLoop(_) | syn::Expr::While(_) | syn::Expr::Loop(_) => true,
            syn::Expr::Closure(closure) => block(&closure.body),
            syn::Expr::If(branch) => return self.visit_branch(branch),
            _ => false,
        };
        if nests {
            self.deeper(|depth| visit::visit_expr(depth, expression));
        } else {
            visit::visit_expr(self, expression);
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {
        // A function within a function is measured by itself.
    }
}

impl Depth {
    fn visit_branch(&mut self, branch: &syn::ExprIf) {
        self.visit_expr(&branch.cond);
        self.deeper(|depth| depth.visit_block(&branch.then_branch));
        match branch.else_branch.as_ref().map(|(_, otherwise)| &**otherwise) {
            Some(syn::Expr::If(next)) => self.visit_branch(next),
            Some(otherwise) => self.deeper(|depth| visit::visit_expr(depth, otherwise)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn lines_parameters_and_nesting_are_counted_and_tests_are_not() {
        let text = "fn plain(a: u8, b: u8) {\n    if a > b {\n    } else if a < b {\n        for _ in 0..a {\n        }\n    }\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn helper() {}\n}\n";
        let measured = file(text).expect("the text parses");
        assert_eq!(measured.lines, 7);
        assert_eq!(measured.tests, [8..=11]);
        let [plain] = &measured.functions[..] else { panic!("one function") };
        assert_eq!((plain.lines, plain.parameters, plain.nesting), (7, 2, 2));
    }
}
