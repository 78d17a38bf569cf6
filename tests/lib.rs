//! Holds nothing: the tests are the package.
