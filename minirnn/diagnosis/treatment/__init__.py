"""Treatment: remedies tried one after the other, judged by what is seen after training again."""
