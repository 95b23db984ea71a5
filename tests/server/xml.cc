// SPDX-License-Identifier: Apache-2.0

#include "tests/server/xml.h"

namespace quayfs::testserver {

std::string XmlEscape(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          escaped += "&#" + std::to_string(byte) + ";";
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

XmlWriter::XmlWriter(std::string_view root, std::string_view xmlns) {
  text_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<";
  text_ += root;
  if (!xmlns.empty()) {
    text_ += " xmlns=\"";
    text_ += xmlns;
    text_ += "\"";
  }
  text_ += ">";
  open_.emplace_back(root);
}

XmlWriter& XmlWriter::Open(std::string_view name, std::string_view attributes) {
  text_ += "<";
  text_ += name;
  if (!attributes.empty()) text_ += " ";
  text_ += attributes;
  text_ += ">";
  open_.emplace_back(name);
  return *this;
}

XmlWriter& XmlWriter::Close() {
  text_ += "</" + open_.back() + ">";
  open_.pop_back();
  return *this;
}

XmlWriter& XmlWriter::Element(std::string_view name, std::string_view text) {
  Open(name);
  text_ += XmlEscape(text);
  return Close();
}

XmlWriter& XmlWriter::Element(std::string_view name, uint64_t value) {
  return Element(name, std::string_view(std::to_string(value)));
}

XmlWriter& XmlWriter::Element(std::string_view name, bool value) {
  return Element(name, std::string_view(value ? "true" : "false"));
}

std::string XmlWriter::Finish() {
  while (!open_.empty()) Close();
  return std::move(text_);
}

std::string ErrorXml(const S3Error& error, const std::string& resource,
                     const std::string& request_id) {
  XmlWriter xml("Error", "");
  xml.Element("Code", error.code).Element("Message", error.message);
  for (const auto& [name, value] : error.details) xml.Element(name, value);
  xml.Element("Resource", resource)
      .Element("RequestId", request_id)
      .Element("HostId", "quayfs-testserver");
  return xml.Finish();
}

}  // namespace quayfs::testserver
