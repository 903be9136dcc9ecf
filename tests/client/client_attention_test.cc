#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "client/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/connect_to.h"
#include "tests/client/fake_server.h"

namespace heed {
namespace {

using testing::ConnectTo;
using ::testing::ElementsAre;
using testing::FakeRow;
using testing::FakeServer;
using ::testing::HasSubstr;

constexpr char kText[] = "the keys to the cabinet";

TEST(ClientAttentionTest, AssemblesEveryRowInPlace) {
  FakeServer server;
  const auto maps = ConnectTo(server)->Attention({.text = kText});
  ASSERT_TRUE(maps.ok()) << maps.status();
  ASSERT_EQ(maps->weights.size(), 2u * 2u * 5u * 5u);
  EXPECT_EQ(maps->top_k, 0);
  EXPECT_EQ(maps->timings.compute, absl::Microseconds(3100));
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 2; ++head) {
      for (int query = 0; query < 5; ++query) {
        std::vector<float> expected = FakeRow(layer * 2 + head, query, query + 1);
        expected.resize(5, 0);
        const auto row = maps->weights.begin() + maps->RowOffset(layer, head, query);
        EXPECT_EQ(std::vector<float>(row, row + 5), expected)
            << "layer " << layer << " head " << head << " query " << query;
      }
    }
  }
}

TEST(ClientAttentionTest, SelectsLayersHeadsAndQueries) {
  FakeServer server;
  const auto maps = ConnectTo(server)->Attention(
      {.text = kText, .layers = {-1}, .heads = {0}, .queries = Last(1)});
  ASSERT_TRUE(maps.ok()) << maps.status();
  EXPECT_THAT(server.last_attention.selection().layers(), ElementsAre(-1));
  EXPECT_THAT(server.last_attention.selection().queries(), ElementsAre(-1));
  EXPECT_THAT(maps->header.layers, ElementsAre(1));
  EXPECT_THAT(maps->header.queries, ElementsAre(4));
  EXPECT_EQ(maps->weights, FakeRow(2, 4, 5));
}

TEST(ClientAttentionTest, AssemblesTopKWithDroppedMass) {
  FakeServer server;
  const auto maps = ConnectTo(server)->Attention({.text = kText, .heads = {1}, .top_k = 2});
  ASSERT_TRUE(maps.ok()) << maps.status();
  EXPECT_EQ(maps->top_k, 2);
  EXPECT_EQ(maps->weights.size(), 2u * 1u * 5u * 2u);
  // The first row sees one key only; the second place is padding.
  EXPECT_EQ(maps->keys[maps->RowOffset(0, 0, 0)], 0);
  EXPECT_EQ(maps->keys[maps->RowOffset(0, 0, 0) + 1], -1);
  EXPECT_FLOAT_EQ(maps->dropped_mass[0], 0);
  const int64_t last = maps->RowOffset(0, 0, 4);
  EXPECT_NEAR(maps->weights[last] + maps->weights[last + 1] + maps->dropped_mass[4], 1, 1e-6);
}

TEST(ClientAttentionTest, CallsBackForEachPart) {
  FakeServer server;
  std::vector<size_t> kinds;
  ASSERT_TRUE(
      ConnectTo(server)
          ->GetAttention({.text = kText, .layers = {0}, .heads = {0}},
                         [&](const AttentionEvent& event) { kinds.push_back(event.index()); })
          .ok());
  EXPECT_THAT(kinds, ElementsAre(0, 1, 1, 2));
}

TEST(ClientAttentionTest, LastCountsFromTheEnd) {
  EXPECT_THAT(Last(3), ElementsAre(-3, -2, -1));
  EXPECT_TRUE(Last(0).empty());
}

// Every way in which a server's answer can be wrong.
struct Damage {
  const char* name;
  int32_t top_k;
  const char* message;
  bool (*edit)(v1::GetAttentionResponse&);
};

void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

class DamagedAttentionTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedAttentionTest, IsInternalError) {
  FakeServer server;
  server.script.edit_attention = GetParam().edit;
  const auto maps = ConnectTo(server)->Attention({.text = kText, .top_k = GetParam().top_k});
  EXPECT_TRUE(absl::IsInternal(maps.status())) << maps.status();
  EXPECT_THAT(std::string(maps.status().message()), HasSubstr(GetParam().message));
}

bool EditHeader(v1::GetAttentionResponse& response, void (*edit)(v1::AttentionHeader&)) {
  if (response.has_header()) edit(*response.mutable_header());
  return true;
}

bool EditTile(v1::GetAttentionResponse& response, void (*edit)(v1::AttentionTile&)) {
  if (response.has_tile()) edit(*response.mutable_tile());
  return true;
}

using Response = v1::GetAttentionResponse;

INSTANTIATE_TEST_SUITE_P(
    All, DamagedAttentionTest,
    ::testing::Values(
        Damage{"NoHeader", 0, "not the first", [](Response& r) { return !r.has_header(); }},
        Damage{"NoTiles", 0, "0 tiles of", [](Response& r) { return !r.has_tile(); }},
        Damage{"NoEnd", 0, "broke off", [](Response& r) { return !r.has_end(); }},
        Damage{"EmptyMessage", 0, "without a part",
               [](Response& r) {
                 if (r.has_tile()) r.clear_tile();
                 return true;
               }},
        Damage{"HeaderInTheMiddle", 0, "two headers",
               [](Response& r) {
                 if (r.has_tile()) *r.mutable_header() = v1::AttentionHeader();
                 return true;
               }},
        Damage{"UnsortedLayers", 0, "not ascending",
               [](Response& r) {
                 return EditHeader(r, [](v1::AttentionHeader& h) { h.set_layers(0, 7); });
               }},
        Damage{"RepeatedQueries", 0, "not ascending",
               [](Response& r) {
                 return EditHeader(r, [](v1::AttentionHeader& h) { h.set_queries(1, 0); });
               }},
        Damage{"QueryPastThePrompt", 0, "past the prompt",
               [](Response& r) {
                 return EditHeader(r, [](v1::AttentionHeader& h) { h.set_queries(4, 5); });
               }},
        Damage{"KeyCount", 0, "keys for a prompt of",
               [](Response& r) {
                 return EditHeader(r, [](v1::AttentionHeader& h) { h.set_key_count(1 << 30); });
               }},
        Damage{"HugePromise", 0, "more than 4 GiB",
               [](Response& r) {
                 return EditHeader(r, [](v1::AttentionHeader& h) {
                   for (int i = 10; i < 100'000; ++i) h.add_layers(i);
                   for (int i = 10; i < 100'000; ++i) h.add_heads(i);
                 });
               }},
        Damage{
            "LayerNotSelected", 0, "is not selected",
            [](Response& r) { return EditTile(r, [](v1::AttentionTile& t) { t.set_layer(9); }); }},
        Damage{
            "HeadNotSelected", 0, "is not selected",
            [](Response& r) { return EditTile(r, [](v1::AttentionTile& t) { t.set_head(-1); }); }},
        Damage{"QueryNotSelected", 0, "is not selected",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) { t.set_queries(0, 99); });
               }},
        Damage{"RowTwice", 0, "came twice",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) { t.set_queries(1, t.queries(0)); });
               }},
        Damage{"RowMissing", 0, "rows of",
               [](Response& r) {
                 if (r.has_tile() && r.tile().queries_size() == 3) {
                   v1::AttentionTile& tile = *r.mutable_tile();
                   tile.mutable_queries()->RemoveLast();
                   tile.mutable_weights()->set_shape(0, 2);
                   tile.mutable_weights()->mutable_data()->resize(2 * 5 * 4);
                 }
                 return true;
               }},
        Damage{"TileMissing", 0, "tiles of",
               [](Response& r) { return !(r.has_tile() && r.tile().queries(0) == 0); }},
        Damage{"ShortData", 0, "the server's answer is broken",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) {
                   t.mutable_weights()->mutable_data()->pop_back();
                 });
               }},
        Damage{"WrongShape", 0, "the server's answer is broken",
               [](Response& r) {
                 return EditTile(
                     r, [](v1::AttentionTile& t) { t.mutable_weights()->set_shape(0, 1); });
               }},
        Damage{"NarrowRows", 0, "expected 5 a row",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) {
                   t.mutable_weights()->set_shape(1, 4);
                   t.mutable_weights()->mutable_data()->resize(t.queries_size() * 4 * 4);
                 });
               }},
        Damage{"DenseForTopK", 2, "expected 2 a row",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) {
                   t.clear_top_k();
                   t.mutable_weights()->set_dtype(v1::DATA_TYPE_F32);
                   t.mutable_weights()->add_shape(t.queries_size());
                   t.mutable_weights()->add_shape(2);
                   t.mutable_weights()->set_data(std::string(t.queries_size() * 8, '\0'));
                 });
               }},
        Damage{"KeyPastThePrompt", 2, "is past the prompt",
               [](Response& r) {
                 return EditTile(r,
                                 [](v1::AttentionTile& t) { t.mutable_top_k()->set_keys(0, 5); });
               }},
        Damage{"KeyBelowPadding", 2, "is past the prompt",
               [](Response& r) {
                 return EditTile(r,
                                 [](v1::AttentionTile& t) { t.mutable_top_k()->set_keys(0, -2); });
               }},
        Damage{"KeyMissing", 2, "keys for",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) {
                   t.mutable_top_k()->mutable_keys()->RemoveLast();
                 });
               }},
        Damage{"ZeroK", 2, "keys for",
               [](Response& r) {
                 return EditTile(r, [](v1::AttentionTile& t) { t.mutable_top_k()->set_k(0); });
               }},
        Damage{"DroppedMassMissing", 2, "the server sent a tensor",
               [](Response& r) {
                 return EditTile(
                     r, [](v1::AttentionTile& t) { t.mutable_top_k()->clear_dropped_mass(); });
               }}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace heed
