// SPDX-License-Identifier: Apache-2.0
//
// Reading an XML document that somebody else wrote: well-formed, small, shallow, without
// declarations of its own. Values of elements only; attributes and namespaces are ignored, names
// compare by their local part.
//
// Refused as kCorrupt: more bytes than the limit, <!DOCTYPE> and any other declaration, references
// other than the five predefined and numeric ones, NUL bytes, elements nested deeper than 16, more
// than 400,000 tags. Leading blanks are fine (a service may send some while it works,
// protocol.md 3.7). Thread-compatible.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quayfs::s3 {

/// A view of one element; valid while its document lives. A missing element is a null one: all its
/// values are empty.
class XmlElement {
 public:
  XmlElement() = default;
  explicit XmlElement(const void* node) : node_(node) {}

  bool exists() const { return node_ != nullptr; }
  std::string_view name() const;
  /// All text directly in the element, blanks included.
  std::string text() const;
  XmlElement Child(std::string_view name) const;
  /// text() of that child, "" without one.
  std::string ChildText(std::string_view name) const;
  XmlElement FirstChild() const;
  XmlElement Next() const;

 private:
  const void* node_ = nullptr;  // of the parser's own type, which stays in the .cc
};

class XmlDocument {
 public:
  static Result<XmlDocument> Parse(std::string_view text, size_t limit);
  XmlDocument(XmlDocument&&) noexcept;
  XmlDocument& operator=(XmlDocument&&) noexcept;
  ~XmlDocument();

  XmlElement root() const;

 private:
  struct Holder;
  explicit XmlDocument(std::unique_ptr<Holder> holder);
  std::unique_ptr<Holder> holder_;
};

}  // namespace quayfs::s3
