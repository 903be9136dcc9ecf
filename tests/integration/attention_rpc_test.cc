// GetAttention over the wire, without heed's own client.
#include <algorithm>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class AttentionRpcTest : public SharedServerTest {};

TEST_F(AttentionRpcTest, AttentionComesAsHeaderTilesAndEnd) {
  v1::GetAttentionRequest request = BulkyAttention();
  for (int layer : {-1, 0, 2}) request.mutable_selection()->add_layers(layer);
  for (int64_t query : {-1, 3, 127}) request.mutable_selection()->add_queries(query);
  const Stream<v1::GetAttentionResponse> stream = GetAttention(*shared_, request);
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  ASSERT_THAT(stream.messages, SizeIs(2 + 2 * 4));
  const v1::AttentionHeader& header = stream.messages[0].header();
  EXPECT_THAT(header.layers(), ElementsAre(0, 2));
  EXPECT_THAT(header.heads(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(header.queries(), ElementsAre(3, 127));
  EXPECT_EQ(header.key_count(), 128);
  EXPECT_TRUE(header.causal());
  EXPECT_EQ(header.prompt().tokens_size(), 128);
  int64_t bytes = 0;
  for (int i = 0; i < 8; ++i) {
    const v1::AttentionTile& tile = stream.messages[1 + i].tile();
    EXPECT_EQ(tile.layer(), i < 4 ? 0 : 2);
    EXPECT_EQ(tile.head(), i % 4);
    EXPECT_THAT(tile.queries(), ElementsAre(3, 127));
    EXPECT_THAT(tile.weights().shape(), ElementsAre(2, 128));
    bytes += static_cast<int64_t>(tile.weights().data().size());
    const std::vector<float> weights = Floats(tile.weights());
    double sum = 0;
    for (int key = 0; key < 128; ++key) {
      sum += weights[key];
      if (key > 3) {
        EXPECT_EQ(weights[key], 0);
      }
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  EXPECT_EQ(bytes, header.total_bytes());
  EXPECT_EQ(stream.messages.back().end().tile_count(), 8);
}

TEST_F(AttentionRpcTest, TopKRowsAreTheLargestOfTheDenseOnes) {
  v1::GetAttentionRequest dense = BulkyAttention();
  dense.mutable_selection()->add_layers(1);
  v1::GetAttentionRequest top_k = dense;
  top_k.mutable_selection()->mutable_top_k()->set_k(5);
  const Stream<v1::GetAttentionResponse> all = GetAttention(*shared_, dense);
  const Stream<v1::GetAttentionResponse> top = GetAttention(*shared_, top_k);
  ASSERT_TRUE(top.status.ok()) << top.status.error_message();
  ASSERT_THAT(top.messages, SizeIs(6));
  for (int head = 0; head < 4; ++head) {
    const std::vector<float> weights = Floats(all.messages[1 + head].tile().weights());
    const v1::TopKWeights& kept = top.messages[1 + head].tile().top_k();
    const std::vector<float> kept_weights = Floats(kept.weights());
    const std::vector<float> dropped = Floats(kept.dropped_mass());
    for (int row = 0; row < 128; ++row) {
      std::vector<std::pair<float, int>> order;  // largest first, ties by smaller key
      for (int key = 0; key <= row; ++key) order.push_back({-weights[row * 128 + key], key});
      std::sort(order.begin(), order.end());
      double mass = dropped[row];
      for (int i = 0; i < 5; ++i) {
        const bool visible = i < static_cast<int>(order.size());
        EXPECT_EQ(kept.keys(row * 5 + i), visible ? order[i].second : -1);
        EXPECT_EQ(kept_weights[row * 5 + i], visible ? -order[i].first : 0);
        mass += kept_weights[row * 5 + i];
      }
      EXPECT_NEAR(mass, 1, 1e-5);
    }
  }
}

}  // namespace
}  // namespace heed
