// SPDX-License-Identifier: Apache-2.0
//
// Extended attributes and access control lists over a local bucket (P1 to P4).

#include <filesystem>

#include "base/text.h"
#include "fs/acl.h"
#include "fs/xattr_codec.h"
#include "s3/metadata_codec.h"
#include "tests/unit/fs/core_fixture.h"

namespace quayfs {
namespace {

class XattrsTest : public CoreTest {
 protected:
  Ino Number(const std::string& path) {
    const auto entry = Walk(path);
    return entry.ok() ? entry->ino : 0;
  }
  Status Set(const std::string& path, const std::string& name, const std::string& value,
             XattrMode mode = XattrMode::kAny) {
    return fs_->SetXattr(ctx_, Number(path), name, value, mode);
  }
  Result<std::string> Get(const std::string& path, const std::string& name) {
    return fs_->GetXattr(ctx_, Number(path), name);
  }
  void ForgetEverything() {
    Sync();
    fs_.reset();
    background_.reset();
    cache_.reset();
    std::filesystem::remove_all(folder_ + "/cache");
    Remount();
  }
  UserMetadata MetadataOf(const std::string& key) {
    Sync();
    const auto head = local_->Head(key, {});
    return head.ok() ? head->properties.metadata : UserMetadata();
  }
};

TEST_F(XattrsTest, AreSetReadListedAndRemoved) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  EXPECT_EQ(Get("f", "user.a").code(), Code::kNoAttribute);
  ASSERT_TRUE(Set("f", "user.a", "1").ok());
  EXPECT_EQ(Set("f", "user.a", "2", XattrMode::kCreate).code(), Code::kAlreadyExists);
  EXPECT_EQ(Set("f", "user.b", "2", XattrMode::kReplace).code(), Code::kNoAttribute);
  ASSERT_TRUE(Set("f", "user.a", std::string("\0\xff", 2), XattrMode::kReplace).ok());
  ASSERT_TRUE(Set("f", "user.empty", "").ok());
  ASSERT_TRUE(Set("f", "trusted.t", "root's").ok());
  EXPECT_EQ(fs_->ListXattrs(ctx_, Number("f")).value(),
            (std::vector<std::string>{"trusted.t", "user.a", "user.empty"}));
  OpContext other = ctx_;
  other.uid = 1000;
  EXPECT_EQ(fs_->ListXattrs(other, Number("f")).value(),
            (std::vector<std::string>{"user.a", "user.empty"}));
  ASSERT_TRUE(fs_->RemoveXattr(ctx_, Number("f"), "user.empty").ok());
  EXPECT_EQ(fs_->RemoveXattr(ctx_, Number("f"), "user.empty").code(), Code::kNoAttribute);
  ForgetEverything();
  EXPECT_EQ(Get("f", "user.a").value(), std::string("\0\xff", 2));
  EXPECT_EQ(Get("f", "user.empty").code(), Code::kNoAttribute);
}

TEST_F(XattrsTest, AreWrittenAndReadAsS3fsDoes) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  ASSERT_TRUE(Set("f", "user.k", "value").ok());
  ASSERT_TRUE(Set("f", "user.50%41", "percent").ok());
  // s3fs takes what is in the header, decodes it once, and has to find JSON.
  s3::HttpHeaders headers;
  ASSERT_TRUE(s3::AddMetadataHeaders(MetadataOf("f"), &headers).ok());
  EXPECT_EQ(PercentDecode(headers.Get("x-amz-meta-xattr"), false),
            R"({"user.50%41":"cGVyY2VudA==","user.k":"dmFsdWU="})");
  ObjectProperties theirs;
  theirs.metadata = {{"mode", "33188"}, {"xattr", "%7b%22user.z%22%3a%22eg%3d%3d%22%7d"}};
  PutObject("g", "y", theirs);
  theirs.metadata["xattr"] = "%7bnonsense";
  PutObject("h", "y", theirs);
  ForgetEverything();
  EXPECT_EQ(Get("f", "user.50%41").value(), "percent");
  EXPECT_EQ(Get("g", "user.z").value(), "z");
  EXPECT_EQ(Get("h", "user.z").code(), Code::kNoAttribute);
}

TEST_F(XattrsTest, LargeOnesLieAsideAndGoWithTheFile) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  const std::string large(65536, 'L');
  ASSERT_TRUE(Set("f", "user.large", large).ok());
  EXPECT_EQ(Keys().size(), 2u);
  size_t bytes = 0;
  for (const auto& [name, value] : MetadataOf("f")) bytes += name.size() + value.size();
  EXPECT_LT(bytes, 2048u);
  ForgetEverything();
  EXPECT_EQ(Get("f", "user.large").value(), large);
  ASSERT_TRUE(Set("f", "user.large", large + "!").ok());
  EXPECT_EQ(Keys().size(), 2u);  // the old one has gone
  ASSERT_TRUE(Rename("f", "g").ok());
  ForgetEverything();
  EXPECT_EQ(Get("g", "user.large").value(), large + "!");
  ASSERT_TRUE(fs_->RemoveXattr(ctx_, Number("g"), "user.large").ok());
  EXPECT_EQ(Keys(), std::vector<std::string>{"g"});
  ASSERT_TRUE(Set("g", "user.large", large).ok());
  Sync();
  ASSERT_TRUE(Remove("g").ok());
  EXPECT_EQ(Keys(), std::vector<std::string>{});
}

TEST_F(XattrsTest, AreThereAfterARemountThatDidNotWaitForTheBucket) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(Set("f", "user.large", std::string(5000, 'L')).ok());
  ASSERT_TRUE(Set("d", "user.small", "s").ok());
  Remount();
  EXPECT_EQ(Get("f", "user.large").value(), std::string(5000, 'L'));
  EXPECT_EQ(Get("d", "user.small").value(), "s");
  ForgetEverything();
  EXPECT_EQ(Get("f", "user.large").value(), std::string(5000, 'L'));
  EXPECT_EQ(Get("d", "user.small").value(), "s");
}

TEST_F(XattrsTest, MoreThanAMebibyteIsRefused) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  Status last;
  int set = 0;
  for (; set < 40 && last.ok(); ++set)
    last = Set("f", "user." + std::to_string(set), std::string(65536, 'x'));
  EXPECT_EQ(last.code(), Code::kNoSpace);
  EXPECT_EQ(set, 16);
  EXPECT_TRUE(Get("f", "user.0").ok());
}

Acl Extended(uint16_t mask) {
  return {{0x01, 7, 0xffffffff},
          {0x02, 5, 1000},
          {0x04, 5, 0xffffffff},
          {0x10, mask, 0xffffffff},
          {0x20, 0, 0xffffffff}};
}

TEST_F(XattrsTest, AListAndTheModeFollowEachOther) {
  ASSERT_TRUE(WriteFile("f", "x").ok());
  ASSERT_TRUE(Set("f", std::string(kAccessAclName), FormatAcl(Extended(6))).ok());
  EXPECT_EQ(Stat("f")->mode & 0777, 0760u);
  AttributeChange change;
  change.mode = 0641;
  ASSERT_TRUE(Change("f", change).ok());
  const Acl after = ParseAcl(Get("f", std::string(kAccessAclName)).value()).value();
  EXPECT_EQ(ModeOfAcl(after), 0641u);
  EXPECT_EQ(after[2].permissions, 5);  // the owning group's own entry stays
  ForgetEverything();
  EXPECT_EQ(Stat("f")->mode & 0777, 0641u);
  EXPECT_EQ(Get("f", std::string(kAccessAclName)).value(), FormatAcl(after));
  // A list that says no more than the mode is not kept.
  const Acl minimal = {{0x01, 6, 0xffffffff}, {0x04, 0, 0xffffffff}, {0x20, 4, 0xffffffff}};
  ASSERT_TRUE(Set("f", std::string(kAccessAclName), FormatAcl(minimal)).ok());
  EXPECT_EQ(Stat("f")->mode & 0777, 0604u);
  EXPECT_EQ(Get("f", std::string(kAccessAclName)).code(), Code::kNoAttribute);
  EXPECT_EQ(Set("f", std::string(kAccessAclName), "junk").code(), Code::kInvalidArgument);
  EXPECT_EQ(Set("f", std::string(kDefaultAclName), FormatAcl(minimal)).code(),
            Code::kPermissionDenied);
}

TEST_F(XattrsTest, NewEntriesInheritTheDefaultListInsteadOfTheUmask) {
  ASSERT_TRUE(MakeDir("d").ok());
  ASSERT_TRUE(Set("d", std::string(kDefaultAclName), FormatAcl(Extended(7))).ok());
  ForgetEverything();
  ctx_.umask = 077;
  const auto [parent, name] = Split("d/f");
  const auto created = fs_->Create(ctx_, parent, name, 0666, O_WRONLY);
  ASSERT_TRUE(created.ok());
  ASSERT_TRUE(Close(created->opened.file).ok());
  EXPECT_EQ(Stat("d/f")->mode & 0777, 0660u);
  const Acl list = ParseAcl(Get("d/f", std::string(kAccessAclName)).value()).value();
  EXPECT_EQ(list[1].id, 1000u);
  ASSERT_TRUE(MakeDir("d/sub").ok());
  EXPECT_EQ(Get("d/sub", std::string(kDefaultAclName)).value(), FormatAcl(Extended(7)));
  // Elsewhere the umask counts.
  const auto plain = fs_->Create(ctx_, kRootIno, "p", 0666, O_WRONLY);
  ASSERT_TRUE(plain.ok());
  ASSERT_TRUE(Close(plain->opened.file).ok());
  EXPECT_EQ(Stat("p")->mode & 0777, 0600u);
}

TEST_F(XattrsTest, PlainMountsHaveNone) {
  config_.metadata = MetadataMode::kPlain;
  Mount();
  ASSERT_TRUE(WriteFile("f", "x").ok());
  EXPECT_EQ(Set("f", "user.a", "1").code(), Code::kNotSupported);
  EXPECT_EQ(Get("f", "user.a").code(), Code::kNoAttribute);
}

TEST(AclFormat, RefusesWhatIsNoList) {
  EXPECT_FALSE(ParseAcl("").ok());
  EXPECT_FALSE(ParseAcl(FormatAcl({})).ok());
  EXPECT_TRUE(ParseAcl(FormatAcl(Extended(7))).ok());
  Acl twice = Extended(7);
  twice.push_back({0x02, 1, 1000});
  EXPECT_FALSE(ParseAcl(FormatAcl(twice)).ok());
  Acl maskless = Extended(7);
  maskless.erase(maskless.begin() + 3);
  EXPECT_FALSE(ParseAcl(FormatAcl(maskless)).ok());
  Acl odd = Extended(7);
  odd[0].permissions = 8;
  EXPECT_FALSE(ParseAcl(FormatAcl(odd)).ok());
}

}  // namespace
}  // namespace quayfs
