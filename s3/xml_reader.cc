// SPDX-License-Identifier: Apache-2.0

#include "s3/xml_reader.h"

#include <fmt/format.h>
#include <tinyxml2.h>

#include <utility>

#include "base/text.h"

namespace quayfs::s3 {
namespace {

constexpr int kDepthLimit = 16;
constexpr size_t kTagLimit = 400'000;

Error Malformed(std::string_view why) {
  return Error(Code::kCorrupt, fmt::format("malformed XML: {}", why));
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// The part after '&' up to ';' is one that needs no declaration.
bool IsKnownReference(std::string_view name) {
  if (name == "lt" || name == "gt" || name == "amp" || name == "quot" || name == "apos")
    return true;
  if (name.size() < 2 || name[0] != '#') return false;
  const bool hex = name[1] == 'x';
  const std::string_view digits = name.substr(hex ? 2 : 1);
  if (digits.empty() || digits.size() > 8) return false;
  uint32_t value = 0;
  for (const char c : digits) {
    const std::string_view alphabet = hex ? "0123456789abcdef0123456789ABCDEF" : "0123456789";
    const size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) return false;
    value = value * (hex ? 16 : 10) + static_cast<uint32_t>(digit % 16);
    if (value > 0x10ffff) return false;
  }
  return value != 0 && (value < 0xd800 || value > 0xdfff);
}

// One pass over the raw text before the parser sees it: refuses what the parser would let pass, and
// keeps leaf elements that hold nothing but blanks (a key may be one space), which the parser would
// drop.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Result<std::string> Run() {
    output_.reserve(text_.size());
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\0') return Malformed("a NUL byte");
      if (c == '<') {
        QUAY_TRY(Markup());
      } else if (c == '&') {
        QUAY_TRY(Reference());
      } else {
        output_ += c;
        ++at_;
      }
    }
    return std::move(output_);
  }

 private:
  // Copies up to and including `end`.
  Status CopyThrough(std::string_view end) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Malformed("it ends too early");
    const std::string_view piece = text_.substr(at_, found + end.size() - at_);
    if (piece.find('\0') != std::string_view::npos) return Malformed("a NUL byte");
    output_ += piece;
    at_ = found + end.size();
    return {};
  }

  Status Markup() {
    if (++tags_ > kTagLimit) return Malformed("too many elements");
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("<!--")) return CopyThrough("-->");
    if (rest.starts_with("<![CDATA[")) return CopyThrough("]]>");
    if (rest.starts_with("<!")) return Malformed("declarations are not accepted");
    if (rest.starts_with("<?")) return CopyThrough("?>");
    const bool closing = rest.starts_with("</");
    QUAY_TRY(Tag());
    if (!closing && output_[output_.size() - 2] != '/') KeepBlanks();
    return {};
  }

  // Attribute values may hold '>'.
  Status Tag() {
    char quote = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\0') return Malformed("a NUL byte");
      if (c == '&') {
        QUAY_TRY(Reference());
        continue;
      }
      output_ += c;
      ++at_;
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '>') {
        return {};
      }
    }
    return Malformed("it ends too early");
  }

  Status Reference() {
    const size_t end = text_.substr(at_, 12).find(';');
    if (end == std::string_view::npos || !IsKnownReference(text_.substr(at_ + 1, end - 1))) {
      return Malformed("an undeclared reference");
    }
    output_ += text_.substr(at_, end + 1);
    at_ += end + 1;
    return {};
  }

  // Between a start tag and its end tag only.
  void KeepBlanks() {
    size_t end = at_;
    while (end < text_.size() && IsBlank(text_[end])) ++end;
    if (end == at_ || !text_.substr(end).starts_with("</")) return;
    for (; at_ < end; ++at_) output_ += fmt::format("&#{};", static_cast<int>(text_[at_]));
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t tags_ = 0;
  std::string output_;
};

const tinyxml2::XMLElement* Element(const void* node) {
  return static_cast<const tinyxml2::XMLElement*>(node);
}

std::string_view LocalName(const char* name) {
  const std::string_view full(name == nullptr ? "" : name);
  const size_t colon = full.rfind(':');
  return colon == std::string_view::npos ? full : full.substr(colon + 1);
}

// Walks without recursion.
bool TooDeep(const tinyxml2::XMLElement* root) {
  int depth = 1;
  const tinyxml2::XMLElement* element = root;
  while (element != nullptr) {
    if (depth > kDepthLimit) return true;
    if (const tinyxml2::XMLElement* child = element->FirstChildElement()) {
      element = child;
      ++depth;
      continue;
    }
    while (element != root && element->NextSiblingElement() == nullptr) {
      element = element->Parent()->ToElement();
      --depth;
    }
    if (element == root) return false;
    element = element->NextSiblingElement();
  }
  return false;
}

}  // namespace

struct XmlDocument::Holder {
  tinyxml2::XMLDocument document;
};

XmlDocument::XmlDocument(std::unique_ptr<Holder> holder) : holder_(std::move(holder)) {}
XmlDocument::XmlDocument(XmlDocument&&) noexcept = default;
XmlDocument& XmlDocument::operator=(XmlDocument&&) noexcept = default;
XmlDocument::~XmlDocument() = default;

Result<XmlDocument> XmlDocument::Parse(std::string_view text, size_t limit) {
  if (text.size() > limit) return Malformed(fmt::format("more than {} bytes", limit));
  const std::string_view body = TrimBlanks(text);
  if (body.empty()) return Malformed("there is nothing in it");
  QUAY_ASSIGN(const std::string checked, Scanner(body).Run());
  auto holder = std::make_unique<Holder>();
  if (holder->document.Parse(checked.data(), checked.size()) != tinyxml2::XML_SUCCESS) {
    return Malformed(holder->document.ErrorName());
  }
  const tinyxml2::XMLElement* root = holder->document.RootElement();
  if (root == nullptr) return Malformed("no element");
  if (root->NextSiblingElement() != nullptr) return Malformed("more than one root element");
  if (TooDeep(root)) return Malformed("nested too deep");
  return XmlDocument(std::move(holder));
}

XmlElement XmlDocument::root() const { return XmlElement(holder_->document.RootElement()); }

std::string_view XmlElement::name() const {
  return node_ == nullptr ? std::string_view() : LocalName(Element(node_)->Name());
}

std::string XmlElement::text() const {
  std::string all;
  if (node_ == nullptr) return all;
  for (const tinyxml2::XMLNode* node = Element(node_)->FirstChild(); node != nullptr;
       node = node->NextSibling()) {
    if (const tinyxml2::XMLText* text = node->ToText()) all += text->Value();
  }
  return all;
}

XmlElement XmlElement::FirstChild() const {
  return node_ == nullptr ? XmlElement() : XmlElement(Element(node_)->FirstChildElement());
}

XmlElement XmlElement::Next() const {
  return node_ == nullptr ? XmlElement() : XmlElement(Element(node_)->NextSiblingElement());
}

XmlElement XmlElement::Child(std::string_view name) const {
  XmlElement child = FirstChild();
  while (child.exists() && child.name() != name) child = child.Next();
  return child;
}

std::string XmlElement::ChildText(std::string_view name) const { return Child(name).text(); }

}  // namespace quayfs::s3
