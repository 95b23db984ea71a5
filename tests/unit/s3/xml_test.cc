// SPDX-License-Identifier: Apache-2.0

#include "s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "s3/xml_reader.h"

namespace quayfs::s3 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool Refused(std::string_view text) {
  return XmlDocument::Parse(text, kXmlReplyLimit).Is(Code::kCorrupt);
}

TEST(XmlReader, ReadsWhatItShould) {
  const auto document = XmlDocument::Parse(
      " \n<?xml version=\"1.0\"?><!-- c --><r xmlns='x' a='>'><k>a&amp;&#66;&lt;&#x43;</k><s> "
      "</s><e/><c><![CDATA[<&]]>x</c>"
      "<n:q xmlns:n='y'>1</n:q></r>\n",
      1000);
  ASSERT_TRUE(document.ok()) << document.error().ToString();
  const XmlElement root = document->root();
  EXPECT_EQ(root.name(), "r");
  EXPECT_EQ(root.ChildText("k"), "a&B<C");
  EXPECT_EQ(root.ChildText("s"), " ");
  EXPECT_EQ(root.ChildText("e"), "");
  EXPECT_TRUE(root.Child("e").exists());
  EXPECT_FALSE(root.Child("missing").exists());
  EXPECT_EQ(root.ChildText("missing"), "");
  EXPECT_EQ(root.ChildText("c"), "<&x");
  EXPECT_EQ(root.ChildText("q"), "1");
}

TEST(XmlReader, RefusesDeclarationsAndBombs) {
  EXPECT_TRUE(Refused("<!DOCTYPE r><r/>"));
  EXPECT_TRUE(Refused(
      "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol1 \"&lol;&lol;\">]><lolz>&lol1;</lolz>"));
  EXPECT_TRUE(Refused("<r><!ENTITY x SYSTEM \"file:///etc/passwd\"></r>"));
  EXPECT_TRUE(Refused("<r>&xxe;</r>"));
  EXPECT_TRUE(Refused("<r a=\"&xxe;\"/>"));
  EXPECT_FALSE(Refused("<r><![CDATA[&xxe; <!DOCTYPE]]></r>"));
}

TEST(XmlReader, RefusesBadReferences) {
  for (const char* bad : {"&", "&;", "&#;", "&#x;", "&#0;", "&#x0;", "&#xD800;", "&#x110000;",
                          "&#99999999999;", "&#1a;", "&amp", "&#-1;"}) {
    EXPECT_TRUE(Refused(std::string("<r>") + bad + "</r>")) << bad;
  }
  EXPECT_FALSE(Refused("<r>&#x10FFFF;&#1;&#13;</r>"));
}

TEST(XmlReader, RefusesMalformed) {
  for (const char* bad : {"", "   ", "text", "<r>", "<r></q>", "<r/><r/>", "<r", "<r a='", "<!--",
                          "<r><![CDATA[</r>"}) {
    EXPECT_TRUE(Refused(bad)) << bad;
  }
  EXPECT_TRUE(Refused(std::string_view("<r>a\0b</r>", 10)));
  EXPECT_TRUE(Refused(std::string_view("<r><![CDATA[a\0b]]></r>", 22)));
}

std::string Nested(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += "<a>";
  for (int i = 0; i < depth; ++i) text += "</a>";
  return text;
}

TEST(XmlReader, LimitsDepthSizeAndCount) {
  EXPECT_FALSE(Refused(Nested(16)));
  EXPECT_TRUE(Refused(Nested(17)));
  EXPECT_TRUE(Refused(Nested(5000)));
  EXPECT_TRUE(Refused("<r>" + Nested(16) + "</r>"));
  EXPECT_FALSE(Refused("<r>" + Nested(15) + "<a/>" + Nested(15) + "</r>"));
  EXPECT_TRUE(XmlDocument::Parse("<r>" + std::string(100, 'x') + "</r>", 100).Is(Code::kCorrupt));
  std::string many = "<r>";
  for (int i = 0; i < 400'001; ++i) many += "<a/>";
  EXPECT_TRUE(Refused(many + "</r>"));
}

// ---- Lists.

std::string List(std::string_view inside) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
         "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" +
         std::string(inside) + "</ListBucketResult>";
}

std::string Contents(std::string_view key, std::string_view size = "1") {
  return "<Contents><Key>" + std::string(key) +
         "</Key><LastModified>2013-05-24T00:00:01.500Z</LastModified><ETag>&quot;abc&quot;</"
         "ETag><Size>" +
         std::string(size) +
         "</Size><Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>";
}

ListRequest Ask(std::string prefix = "", std::string delimiter = "") {
  return ListRequest{std::move(prefix), std::move(delimiter), "", 1000};
}

TEST(XmlList, V2) {
  const auto reply = ParseList(
      List(
          "<Name>b</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>"
          "<NextContinuationToken>t%2F+==</NextContinuationToken><EncodingType>url</EncodingType>" +
          Contents("p/a+b%20c%2Bd%C3%A9") +
          "<CommonPrefixes><Prefix>p/x%01/</Prefix></CommonPrefixes>"),
      Ask("p/", "/"), ListVersion::kV2);
  ASSERT_TRUE(reply.ok()) << reply.error().ToString();
  EXPECT_FALSE(reply->is_v1);
  EXPECT_TRUE(reply->truncated);
  EXPECT_EQ(reply->next, "t%2F+==") << "tokens are never decoded";
  ASSERT_EQ(reply->objects.size(), 1u);
  EXPECT_EQ(reply->objects[0].key, "p/a b c+dé");
  EXPECT_EQ(reply->objects[0].etag, "\"abc\"");
  EXPECT_EQ(reply->objects[0].size, 1u);
  EXPECT_EQ(reply->objects[0].storage_class, "STANDARD");
  EXPECT_EQ(FormatIsoExtended(reply->objects[0].last_modified), "2013-05-24T00:00:01.500Z");
  EXPECT_THAT(reply->common_prefixes, ElementsAre("p/x\x01/"));
}

TEST(XmlList, NamesAreDecodedOnlyIfTheReplySaysSo) {
  const auto reply =
      ParseList(List("<KeyCount>1</KeyCount>" + Contents("a%20b+c")), Ask(), ListVersion::kV2);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->objects[0].key, "a%20b+c");
}

TEST(XmlList, V1Markers) {
  const auto given =
      ParseList(List("<Marker/><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
                     "<NextMarker>z%2Ba</NextMarker>" +
                     Contents("a")),
                Ask("", "/"), ListVersion::kV1);
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->next, "z+a");
  const auto last_key =
      ParseList(List("<Marker/><IsTruncated>true</IsTruncated>" + Contents("a") + Contents("b")),
                Ask(), ListVersion::kV1);
  ASSERT_TRUE(last_key.ok());
  EXPECT_EQ(last_key->next, "b");
  const auto last_prefix = ParseList(List("<IsTruncated>true</IsTruncated>" + Contents("a") +
                                          "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>"),
                                     Ask("", "/"), ListVersion::kV1);
  ASSERT_TRUE(last_prefix.ok());
  EXPECT_EQ(last_prefix->next, "c/");
  const auto nothing = ParseList(List("<IsTruncated>true</IsTruncated>"), Ask(), ListVersion::kV1);
  EXPECT_TRUE(nothing.Is(Code::kCorrupt));
}

TEST(XmlList, V1ReplyToV2Request) {
  const auto plain =
      ParseList(List("<Marker></Marker><IsTruncated>false</IsTruncated>"), Ask(), ListVersion::kV2);
  EXPECT_TRUE(plain->is_v1);
  const auto truncated =
      ParseList(List("<IsTruncated>true</IsTruncated>" + Contents("k")), Ask(), ListVersion::kV2);
  ASSERT_TRUE(truncated.ok());
  EXPECT_TRUE(truncated->is_v1);
  EXPECT_EQ(truncated->next, "k");
  const auto unsaid =
      ParseList(List("<IsTruncated>false</IsTruncated>" + Contents("k")), Ask(), ListVersion::kV2);
  EXPECT_FALSE(unsaid->is_v1);
}

TEST(XmlList, KeysOutsideThePrefixAreCorrupt) {
  EXPECT_TRUE(ParseList(List(Contents("q/a")), Ask("p/"), ListVersion::kV2).Is(Code::kCorrupt));
  EXPECT_TRUE(ParseList(List(Contents("")), Ask(""), ListVersion::kV2).Is(Code::kCorrupt));
  const auto prefix = [](std::string_view text) {
    return List("<CommonPrefixes><Prefix>" + std::string(text) + "</Prefix></CommonPrefixes>");
  };
  EXPECT_TRUE(ParseList(prefix("q/"), Ask("p/", "/"), ListVersion::kV2).Is(Code::kCorrupt));
  EXPECT_TRUE(ParseList(prefix("p/"), Ask("p/", "/"), ListVersion::kV2).Is(Code::kCorrupt));
  EXPECT_TRUE(ParseList(prefix("p/x"), Ask("p/", "/"), ListVersion::kV2).Is(Code::kCorrupt));
  EXPECT_TRUE(ParseList(prefix("p/x/"), Ask("p/", "/"), ListVersion::kV2).ok());
}

TEST(XmlList, NumbersAreStrict) {
  for (const char* bad : {"", "-1", "+1", "1.5", "0x10", "18446744073709551616", "1 2", "abc"}) {
    EXPECT_TRUE(ParseList(List(Contents("k", bad)), Ask(), ListVersion::kV2).Is(Code::kCorrupt))
        << bad;
  }
  EXPECT_EQ(ParseList(List(Contents("k", "18446744073709551615")), Ask(), ListVersion::kV2)
                ->objects[0]
                .size,
            18446744073709551615u);
  EXPECT_TRUE(ParseList(List("<IsTruncated>maybe</IsTruncated>"), Ask(), ListVersion::kV2)
                  .Is(Code::kCorrupt));
}

TEST(XmlList, OddKeysSurvive) {
  const auto reply =
      ParseList(List(Contents(" ") + Contents("a&#13;b") + Contents("&#1;") + Contents("  x ")),
                Ask(), ListVersion::kV2);
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->objects.size(), 4u);
  EXPECT_EQ(reply->objects[0].key, " ");
  EXPECT_EQ(reply->objects[1].key, "a\rb");
  EXPECT_EQ(reply->objects[2].key, "\x01");
  EXPECT_EQ(reply->objects[3].key, "  x ");
}

TEST(XmlList, WrongRoot) {
  EXPECT_TRUE(
      ParseList("<html><body>login</body></html>", Ask(), ListVersion::kV2).Is(Code::kCorrupt));
  EXPECT_TRUE(ParseList("<Error/>", Ask(), ListVersion::kV2).Is(Code::kCorrupt));
}

// ---- The other replies.

TEST(XmlError, Fields) {
  const auto error = ParseError(
      "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>gone &amp; "
      "away</Message><RequestId>R1</RequestId>"
      "<Region>eu-west-1</Region><Endpoint>e</Endpoint><ServerTime>2013-05-24T00:00:00Z</"
      "ServerTime></Error>");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "NoSuchKey");
  EXPECT_EQ(error->message, "gone & away");
  EXPECT_EQ(error->request_id, "R1");
  EXPECT_EQ(error->region, "eu-west-1");
  EXPECT_EQ(error->endpoint, "e");
  EXPECT_EQ(error->server_time, "2013-05-24T00:00:00Z");
  EXPECT_EQ(
      ParseError(
          "<ErrorResponse><Error><Code>X</Code></Error><RequestId>R</RequestId></ErrorResponse>")
          ->request_id,
      "R");
  EXPECT_FALSE(ParseError("<CopyObjectResult><Error/></CopyObjectResult>").has_value());
  EXPECT_FALSE(ParseError("not xml").has_value());
  EXPECT_FALSE(ParseError("").has_value());
  EXPECT_FALSE(ParseError("<Error>" + std::string(kXmlErrorLimit, 'x') + "</Error>").has_value());
}

TEST(XmlReplies, Copy) {
  const auto reply = ParseCopy(
      "\n "
      "<CopyObjectResult><ETag>\"e\"</ETag><LastModified>2013-05-24T00:00:00.000Z</LastModified></"
      "CopyObjectResult>");
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->etag, "\"e\"");
  EXPECT_EQ(ParseCopy("<CopyPartResult><ETag>x</ETag></CopyPartResult>")->etag, "x");
  EXPECT_TRUE(ParseCopy("<CopyPartResult/>").Is(Code::kCorrupt));
  EXPECT_TRUE(ParseCopy("<Error/>").Is(Code::kCorrupt));
}

TEST(XmlReplies, Multipart) {
  EXPECT_EQ(*ParseInitiate("<InitiateMultipartUploadResult><UploadId>u/1==</UploadId></"
                           "InitiateMultipartUploadResult>"),
            "u/1==");
  EXPECT_TRUE(ParseInitiate("<InitiateMultipartUploadResult/>").Is(Code::kCorrupt));
  EXPECT_EQ(*ParseComplete("<CompleteMultipartUploadResult><ETag>&quot;a-2&quot;</ETag></"
                           "CompleteMultipartUploadResult>"),
            "\"a-2\"");
  const auto parts = ParseParts(
      "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</"
      "NextPartNumberMarker>"
      "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag><Size>5</Size></Part>"
      "<Part><PartNumber>2</PartNumber><ETag>\"b\"</ETag><Size>6</Size></Part></ListPartsResult>");
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->next_marker, 2);
  ASSERT_EQ(parts->parts.size(), 2u);
  EXPECT_EQ(parts->parts[1].size, 6u);
  EXPECT_TRUE(ParseParts("<ListPartsResult><Part><PartNumber>0</PartNumber><Size>1</Size></Part></"
                         "ListPartsResult>")
                  .Is(Code::kCorrupt));
  EXPECT_TRUE(ParseParts("<ListPartsResult><Part><PartNumber>4294967297</PartNumber><Size>1</"
                         "Size></Part></ListPartsResult>")
                  .Is(Code::kCorrupt));
}

TEST(XmlReplies, Uploads) {
  const std::string text =
      "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<NextKeyMarker>p%2Fa</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker>"
      "<Upload><Key>p/a+b</Key><UploadId>u1</UploadId><Initiated>2013-05-24T00:00:00.000Z</"
      "Initiated></Upload>"
      "</ListMultipartUploadsResult>";
  const auto reply = ParseUploads(text, "p/");
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->uploads[0].key, "p/a b");
  EXPECT_EQ(reply->next_key_marker, "p/a");
  EXPECT_TRUE(ParseUploads(text, "q/").Is(Code::kCorrupt));
}

TEST(XmlReplies, Delete) {
  const auto reply = ParseDelete(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</"
      "Code><Message>no</Message></Error>"
      "</DeleteResult>");
  ASSERT_TRUE(reply.ok());
  EXPECT_THAT(reply->deleted, ElementsAre("a"));
  ASSERT_EQ(reply->failures.size(), 1u);
  EXPECT_EQ(reply->failures[0].code, "AccessDenied");
}

TEST(XmlReplies, Buckets) {
  EXPECT_THAT(*ParseBuckets("<ListAllMyBucketsResult><Owner/><Buckets><Bucket><Name>a</Name></"
                            "Bucket><Bucket><Name>b</Name>"
                            "</Bucket></Buckets></ListAllMyBucketsResult>"),
              ElementsAre("a", "b"));
  EXPECT_THAT(*ParseBuckets("<ListAllMyBucketsResult/>"), IsEmpty());
}

// ---- Writers.

TEST(XmlWriters, EscapeWhatNeedsIt) {
  EXPECT_EQ(EscapeXml("a<b>&\"'\r\n\x01é"), "a&lt;b&gt;&amp;&quot;'&#13;&#10;&#1;é");
}

TEST(XmlWriters, DeleteRoundTrip) {
  const std::vector<std::string> keys = {"a<b>&\"'", "é/ü", "]]>", "a  b", "中文"};
  const auto document = XmlDocument::Parse(WriteDelete(keys), kXmlReplyLimit);
  ASSERT_TRUE(document.ok());
  std::vector<std::string> back;
  for (XmlElement child = document->root().FirstChild(); child.exists(); child = child.Next()) {
    if (child.name() == "Object") back.push_back(child.ChildText("Key"));
  }
  EXPECT_EQ(back, keys);
}

TEST(XmlWriters, KeysThatXmlCannotCarry) {
  for (const char* good : {"a", "a b", "é", "中文", "a<&>b", "\U0001F600"})
    EXPECT_TRUE(XmlCarriesKey(good)) << good;
  for (const char* bad :
       {"", " a", "a ", "a\x01", "a\nb", "a\rb", "a\tb", "\xff", "\xc3", "\xed\xa0\x80",
        "\xef\xbf\xbf", "\xc0\x80", "\xf5\x80\x80\x80", "\xe0\x80\x80"}) {
    EXPECT_FALSE(XmlCarriesKey(bad)) << bad;
  }
}

TEST(XmlWriters, Complete) {
  EXPECT_EQ(WriteComplete({{1, "\"a\"", 5}, {7, "b", 6}}),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>"
            "<Part><PartNumber>7</PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>");
  EXPECT_THAT(WriteCreateBucket("eu-west-1"),
              HasSubstr("<LocationConstraint>eu-west-1</LocationConstraint>"));
}

// ---- Anything at all may arrive.

void ParseEverything(std::string_view text) {
  Ignore(ParseList(text, Ask("p", "/"), ListVersion::kV2));  // only crashes and hangs count here
  Ignore(ParseCopy(text));
  Ignore(ParseInitiate(text));
  Ignore(ParseComplete(text));
  Ignore(ParseParts(text));
  Ignore(ParseUploads(text, "p"));
  Ignore(ParseDelete(text));
  Ignore(ParseBuckets(text));
  EXPECT_NO_FATAL_FAILURE(ParseError(text));
}

TEST(XmlFuzz, RandomBytesAndMutations) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string base =
      List("<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>" + Contents("p%20a") +
           "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>");
  constexpr std::string_view kBits[] = {"<",         ">",   "&",     "&#",     ";",   "<!--", "-->",
                                        "<![CDATA[", "]]>", "<!",    "<?",     "</",  "/>",   "\"",
                                        "'",         "%",   "<Key>", "</Key>", "\xff"};
  for (int round = 0; round < 4000; ++round) {
    std::string text = round % 2 == 0 ? base : std::string(random() % 200, '\0');
    if (round % 2 != 0) {
      for (char& c : text) c = static_cast<char>(random());
    }
    for (uint32_t edits = random() % 6; edits > 0; --edits) {
      const size_t at = text.empty() ? 0 : random() % text.size();
      const std::string_view bit = kBits[random() % std::size(kBits)];
      if (random() % 2 == 0) {
        text.insert(at, bit);
      } else {
        text.erase(at, random() % 9);
      }
    }
    ParseEverything(text);
  }
}

}  // namespace
}  // namespace quayfs::s3
