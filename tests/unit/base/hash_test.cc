// SPDX-License-Identifier: Apache-2.0
//
// Vectors: RFC 1321 (MD5), FIPS 180 (SHA), RFC 2202 and RFC 4231 (HMAC), RFC 3720 B.4 (CRC32C), RFC
// 4648 (base64).

#include "base/hash.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace quayfs {
namespace {

TEST(HashTest, Md5) {
  EXPECT_EQ(HexEncode(Md5("")), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(HexEncode(Md5("abc")), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(HexEncode(Md5("message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(HashTest, Sha1) {
  EXPECT_EQ(HexEncode(Sha1("")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(HexEncode(Sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(HashTest, Sha256) {
  EXPECT_EQ(HexEncode(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexEncode(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexEncode(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(HashTest, HmacSha1) {
  EXPECT_EQ(HexEncode(HmacSha1(std::string(20, '\x0b'), "Hi There")),
            "b617318655057264e28bc0b6fb378c8ef146be00");
  EXPECT_EQ(HexEncode(HmacSha1("Jefe", "what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

TEST(HashTest, HmacSha256) {
  EXPECT_EQ(HexEncode(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HexEncode(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // Longer than a block, so that the key is hashed first.
  EXPECT_EQ(HexEncode(HmacSha256(std::string(131, '\xaa'),
                                 "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HashTest, HmacOfNothing) {
  const std::string nothing = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
  EXPECT_EQ(HexEncode(HmacSha256("", "")), nothing);
  EXPECT_EQ(HexEncode(HmacSha256(std::string_view(), std::string_view())), nothing);
}

TEST(HasherTest, PiecesGiveTheSameAsTheWhole) {
  const std::string data(100'000, 'q');
  const struct {
    HashKind kind;
    std::string whole;
  } cases[] = {{HashKind::kMd5, Md5(data)},
               {HashKind::kSha1, Sha1(data)},
               {HashKind::kSha256, Sha256(data)}};
  for (const auto& c : cases) {
    Hasher hasher(c.kind);
    hasher.Update(std::string_view());
    for (size_t at = 0; at < data.size(); at += 777) {
      hasher.Update(std::string_view(data).substr(at, 777));
    }
    EXPECT_EQ(hasher.Finish(), c.whole);
  }
}

TEST(HasherTest, MovesWithItsState) {
  Hasher first(HashKind::kSha256);
  first.Update("ab");
  Hasher second = std::move(first);
  second.Update(AsBytes("c"));
  Hasher third(HashKind::kMd5);
  third = std::move(second);
  EXPECT_EQ(third.Finish(), Sha256("abc"));
}

TEST(HasherDeathTest, FinishesOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Hasher hasher(HashKind::kMd5);
  hasher.Finish();
  EXPECT_DEATH(hasher.Finish(), "check failed");
  EXPECT_DEATH(hasher.Update("x"), "check failed");
}

struct CrcCase {
  std::string data;
  uint32_t crc;
};

std::vector<CrcCase> CrcCases() {
  std::string up;
  std::string down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  return {{"", 0},
          {"123456789", 0xe3069283},
          {std::string(32, '\0'), 0x8a9136aa},
          {std::string(32, '\xff'), 0x62a8ab43},
          {up, 0x46dd794e},
          {down, 0x113fdb5c}};
}

TEST(Crc32cTest, PublishedVectors) {
  for (const CrcCase& c : CrcCases()) {
    EXPECT_EQ(Crc32c(AsBytes(c.data)), c.crc);
    EXPECT_EQ(internal::Crc32cByTable(AsBytes(c.data), 0), c.crc);
  }
}

TEST(Crc32cTest, InstructionAndTableAgreeAtEveryLengthAndAlignment) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::string data(300, '\0');
  for (char& c : data) c = static_cast<char>(random());
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t length = 0; length + begin <= data.size(); ++length) {
      const Bytes bytes = AsBytes(data).subspan(begin, length);
      const auto before = static_cast<uint32_t>(random());
      ASSERT_EQ(Crc32c(bytes, before), internal::Crc32cByTable(bytes, before))
          << begin << " " << length;
    }
  }
}

TEST(Crc32cTest, ContinuesFromWhatCameBefore) {
  const std::string data = "a staging file is read in pieces";
  const uint32_t whole = Crc32c(AsBytes(data));
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    const Bytes bytes = AsBytes(data);
    EXPECT_EQ(Crc32c(bytes.subspan(cut), Crc32c(bytes.first(cut))), whole);
    EXPECT_EQ(
        internal::Crc32cByTable(bytes.subspan(cut), internal::Crc32cByTable(bytes.first(cut), 0)),
        whole);
  }
}

TEST(TextCodeTest, Hex) {
  EXPECT_EQ(HexEncode(""), "");
  EXPECT_EQ(HexEncode(std::string_view("\x00\x0f\xa5\xff", 4)), "000fa5ff");
}

TEST(TextCodeTest, Base64Vectors) {
  const std::pair<std::string, std::string> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"},
                                                       {"\xfb\xff\xbf", "+/+/"}};
  for (const auto& [raw, text] : cases) {
    EXPECT_EQ(Base64Encode(raw), text);
    std::string back = "left over";
    EXPECT_TRUE(Base64Decode(text, &back)) << text;
    EXPECT_EQ(back, raw);
  }
}

TEST(TextCodeTest, Base64RejectsWhatIsNotCanonical) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "=Zg=", "Zg==Zg==", "Zm9v\n",
                           "Zm 9", "Zm-_", "Z===", "Zg=A"}) {
    std::string raw = "left over";
    EXPECT_FALSE(Base64Decode(text, &raw)) << text;
    EXPECT_EQ(raw, "");
  }
}

TEST(TextCodeTest, Base64OfEveryByteComesBack) {
  std::string raw;
  for (int i = 0; i < 256; ++i) {
    raw += static_cast<char>(i);
    std::string back;
    ASSERT_TRUE(Base64Decode(Base64Encode(raw), &back));
    ASSERT_EQ(back, raw);
  }
}

TEST(ConstantTimeEqualTest, Compares) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "ab"));
  EXPECT_FALSE(ConstantTimeEqual("", "a"));
}

TEST(RandomBytesTest, AsManyAsAskedForAndNotTheSame) {
  EXPECT_EQ(RandomBytes(0), "");
  EXPECT_EQ(RandomBytes(1000).size(), 1000U);
  EXPECT_NE(RandomBytes(16), RandomBytes(16));
}

}  // namespace
}  // namespace quayfs
