// SPDX-License-Identifier: Apache-2.0

#include "fs/inode_table.h"

#include <gtest/gtest.h>

#include <random>

#include "fs/errno.h"

namespace quayfs {
namespace {

TEST(InodeTable, KeysFollowNames) {
  InodeTable table(KeySpace{"p/"});
  Inode& directory = table.Create(table.root(), "d", S_IFDIR | 0755);
  Inode& file = table.Create(directory, "f", S_IFREG | 0644);
  EXPECT_EQ(*table.KeyOf(table.root()), "p/");
  EXPECT_EQ(*table.KeyOf(directory), "p/d/");
  EXPECT_EQ(*table.KeyOf(file), "p/d/f");
  table.Move(file, table.root(), "%~x%f");
  EXPECT_EQ(*table.KeyOf(file), "p/x");
  file.lookups = 1;
  table.Unlink(file);
  EXPECT_TRUE(table.KeyOf(file).Is(Code::kNotFound));
  EXPECT_TRUE(table.IsBelow(directory, kRootIno));
  EXPECT_FALSE(table.IsBelow(table.root(), directory.ino));
}

TEST(InodeTable, InodesStayWhileSomebodyRefersToThem) {
  InodeTable table(KeySpace{});
  Inode& directory = table.Create(table.root(), "d", S_IFDIR);
  Inode& file = table.Create(directory, "f", S_IFREG);
  const Ino file_ino = file.ino;
  const Ino directory_ino = directory.ino;
  file.lookups = 2;
  table.Unlink(directory);
  EXPECT_EQ(table.Find(directory_ino), nullptr);
  ASSERT_NE(table.Find(file_ino), nullptr) << "the kernel still has it";
  EXPECT_FALSE(file.linked());
  table.Forget(file_ino, 1);
  EXPECT_NE(table.Find(file_ino), nullptr);
  table.Forget(file_ino, 1);
  EXPECT_EQ(table.Find(file_ino), nullptr);
  EXPECT_EQ(table.TakeErased().size(), 2u);
  EXPECT_TRUE(table.InvariantsHold());
}

TEST(InodeTable, RandomOperationsKeepTheInvariants) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  InodeTable table(KeySpace{});
  std::vector<Ino> known = {kRootIno};
  for (int i = 0; i < 5000; ++i) {
    Inode* inode = table.Find(known[random() % known.size()]);
    Inode* other = table.Find(known[random() % known.size()]);
    if (inode == nullptr || other == nullptr) continue;
    const std::string name(1, static_cast<char>('a' + random() % 5));
    const bool free =
        other->is_directory() && other->linked() && table.Child(*other, name) == nullptr;
    switch (random() % 4) {
      case 0:
        if (free)
          known.push_back(table.Create(*other, name, random() % 2 == 0 ? S_IFDIR : S_IFREG).ino);
        break;
      case 1:
        if (free && inode->ino != kRootIno && inode->linked() &&
            !table.IsBelow(*other, inode->ino)) {
          table.Move(*inode, *other, name);
        }
        break;
      case 2:
        if (inode->ino != kRootIno && inode->linked() && random() % 4 == 0) table.Unlink(*inode);
        break;
      default:
        ++inode->lookups;
        table.Forget(inode->ino, random() % 3);
    }
    ASSERT_TRUE(table.InvariantsHold()) << "step " << i;
  }
}

TEST(ObjectVersion, TheTimeCountsWhereItIsKnown) {
  const std::string etag = "900150983cd24fb0d6963f7d28e17f72";
  const ObjectVersion version{"\"" + etag + "\"", 5, 100};
  EXPECT_TRUE(version.MayBe({"900150983CD24FB0D6963F7D28E17F72", 5, 100}));
  EXPECT_TRUE(version.MayBe({etag, 5, 0}));
  EXPECT_FALSE(version.MayBe({etag, 5, 101})) << "only its metadata changed";
  EXPECT_FALSE(version.MayBe({etag, 6, 100}));
  EXPECT_FALSE(version.MayBe({"1" + etag.substr(1), 5, 100}));
}

TEST(Errno, EveryCodeHasOne) {
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    EXPECT_GT(ErrnoFor(static_cast<Code>(code)), 0) << CodeName(static_cast<Code>(code));
  }
}

}  // namespace
}  // namespace quayfs
