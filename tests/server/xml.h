// SPDX-License-Identifier: Apache-2.0
//
// Writes the XML of replies. Control characters become numeric references, as S3 sends them,
// although XML 1.0 has none for most: a client that did not ask for encoding-type=url must cope or
// fail.

#pragma once

#include <string>
#include <string_view>

#include "tests/server/s3_error.h"

namespace quayfs::testserver {

inline constexpr char kS3Namespace[] = "http://s3.amazonaws.com/doc/2006-03-01/";

std::string XmlEscape(std::string_view text);

/// Builds a document from nested elements. Thread-compatible.
class XmlWriter {
 public:
  /// Opens the root element; `xmlns` may be "".
  explicit XmlWriter(std::string_view root, std::string_view xmlns = kS3Namespace);
  /// `attributes` is XML already.
  XmlWriter& Open(std::string_view name, std::string_view attributes = "");
  XmlWriter& Close();
  XmlWriter& Element(std::string_view name, std::string_view text);
  XmlWriter& Element(std::string_view name, uint64_t value);
  XmlWriter& Element(std::string_view name, bool value);
  XmlWriter& Element(std::string_view name, const char* text) {
    return Element(name, std::string_view(text));
  }
  /// Closes what is open and returns the document.
  std::string Finish();

 private:
  std::string text_;
  std::vector<std::string> open_;
};

/// The <Error> document.
std::string ErrorXml(const S3Error& error, const std::string& resource,
                     const std::string& request_id);

}  // namespace quayfs::testserver
